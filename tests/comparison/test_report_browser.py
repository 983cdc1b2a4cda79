"""A comparison's page in a real Chromium: laptop and phone, light and dark."""

import pytest

from recsys_lab.comparison.collect import find_runs
from recsys_lab.comparison.compare import Options, compare
from recsys_lab.comparison.examples import Example, Examples
from recsys_lab.comparison.page import html
from tests.comparison.made_runs import config, results, two_systems, write_run
from tests.support.browser import look

LONG = "A title of an item that is longer than a column is wide, " * 4
SYSTEMS, MORE = 10, 8
# Of page.css: --c0 and --c1, light and dark.
COLOURS = {False: ((51, 101, 138), (179, 78, 20)), True: ((127, 176, 212), (240, 152, 92))}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two systems with seeds, and more systems than there are colours; one name is unbroken."""
    folder = two_systems(tmp_path_factory.mktemp("runs"), users=120, seeds=2)
    for place in range(MORE):
        named = config(
            "SASRec", 0, model__num_layers=place + 3, name="x" * 60 if place == 0 else None
        )
        values = {"ndcg@10": results(120, place, 0.2 * place)}
        values["popularity@10"] = values["ndcg@10"] * 0 + 10.0 + place / 9
        epochs = [{"epoch": n, "val/ndcg@10": 0.1 * (1 - 0.8**n)} for n in range(4 + place)]
        write_run(folder / f"more/{place}", values, config=named, epochs=epochs)
    records, left_out = find_runs([str(folder)])
    options = Options("first", None, 0.05, 100, 100, 0, "config")
    comparison = compare(records, left_out, options)
    assert len(comparison.systems) == SYSTEMS
    titles = [(LONG, False), ("y" * 80, True)] * 5
    user = Example("u1", history=[LONG] * 3, targets=["y" * 80], lists=[titles] * SYSTEMS)
    file = folder / "report.html"
    file.write_text(html(comparison, Examples("Drawn by hand.", [user])))
    return file


@pytest.mark.parametrize("phone", [False, True], ids=["laptop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_chromium_draws_it(page, tmp_path, phone, dark):
    seen = look(page, tmp_path / "seen.png", phone=phone, dark=dark)
    assert seen.console == []
    assert seen.faults == []  # no text cut off, none over another, nothing wider than the window
    assert seen.dark == dark
    assert len(seen.charts) == 4  # bars, curves, seconds, popularity
    assert all(wide > 300 and tall > 100 for wide, tall in seen.charts)
    pixels = seen.pixels()[..., :3]
    background = pixels[5, 5]
    assert (background.mean() < 64) == dark
    for colour in COLOURS[dark]:  # of the first two systems' bars, wide enough to be bars
        assert (pixels[:3000] == colour).all(-1).sum() > 500
    assert (pixels[:, -1] == background).all()


def test_a_page_that_is_too_wide_is_noticed(tmp_path):
    file = tmp_path / "wide.html"
    file.write_text(
        '<!doctype html><p style="width:2000px">x</p><svg width="100" height="50">'
        '<text x="10" y="20">one</text><text x="12" y="20">two</text>'
        '<text x="90" y="40">three</text>'
        "</svg><script>console.log('hello')</script>"
    )
    seen = look(file, tmp_path / "seen.png", phone=True)
    assert [fault.partition(" ")[0] for fault in seen.faults] == [
        "the", "beyond", "overlap:", "cut",
    ]  # fmt: skip
    assert seen.charts == [(100, 50)]
    assert any("hello" in line for line in seen.console)
