"""A comparison's page: its numbers are the comparison's, it runs nothing, Chromium draws it."""

import html as escaping
import re
from dataclasses import replace

import pytest

from recsys_lab.runs.collect import find_runs
from recsys_lab.runs.judging import Options, compare
from recsys_lab.runs.report import Example, Examples, html
from recsys_lab.runs.report_charts import pareto_front
from tests.browser import look

from .made_runs import two_systems

HOSTILE = "<script>alert('x')</script> & \"co\""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = two_systems(tmp_path_factory.mktemp("runs"), users=120, seeds=3)
    records, left_out = find_runs([str(folder)])
    return compare(records, left_out, Options("first", None, 0.05, 200, 200, 0))


@pytest.fixture(scope="module")
def page(comparison):
    user = Example(
        user=HOSTILE, history=["Tea", HOSTILE], targets=["Cup"],
        lists=[[("Pot", False), ("Cup", True)], [("Tin", False)]],
    )  # fmt: skip
    return html(comparison, Examples("Drawn by hand.", [user]))


def rows(page: str, heading: str) -> list[list[str]]:
    """Texts of the cells of the first table under a heading."""
    part = page.split(f"<h2>{heading}</h2>")[1].split("</table>")[0]
    return [
        [escaping.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in
         re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", part)
    ]  # fmt: skip


def test_scores_are_the_comparisons(comparison, page):
    heads, *body = rows(page, "Results")
    assert heads == ["metric", "Popularity, 3 seeds", "SASRec, 3 seeds"]
    found = {row[0]: row[1:] for row in body}
    for place, system in enumerate(comparison.systems):
        score = system.scores["ndcg@10"]
        assert found["ndcg@10"][place].startswith(f"{score.mean:.4f} ± {score.sd:.4f}")
    assert found["ndcg@10"][1].endswith("*")
    assert "<b>" in page.split("ndcg@10</th>")[1].split("</tr>")[0]


def test_tests_and_slices_are_the_comparisons(comparison, page):
    (pair,) = [p for p in comparison.pairs if p.metric == "ndcg@10"]
    _, row = rows(page, "Differences, user by user")
    assert row[0] == "SASRec - Popularity"
    assert row[1] == f"{pair.test.difference.value:+.4f}"
    assert row[-1] == f"{pair.wins}/{pair.ties}/{pair.losses}"
    _, *body = rows(page, "Slices")
    assert [row[0] for row in body] == ["history_length: 1-4", "history_length: 5-9"]
    for row, part in zip(body, comparison.slices, strict=True):
        assert row[1:] == [f"{part.users}", *(f"{mean.value:.4f}" for mean in part.means)]


def test_the_page_runs_and_loads_nothing_and_escapes(page):
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page)
    assert escaping.escape(HOSTILE) in page
    assert "default-src &#x27;none&#x27;" in page


def test_hits_are_marked(page):
    users = page.split("<h2>Example users</h2>")[1]
    assert re.findall(r'<li class="hit">(.*?)</li>', users) == ["Cup"]
    assert re.findall(r"</span> (\w+): (hit|miss)", users) == [
        ("Popularity", "hit"),
        ("SASRec", "miss"),
    ]


def test_nothing_is_drawn_of_what_was_not_measured(comparison):
    fitted = replace(comparison, runs=tuple(replace(r, epochs=()) for r in comparison.runs))
    page = html(fitted, Examples("None.", ()))
    assert "Learning curves" not in page
    assert page.count("<svg") == 3  # bars, cost, popularity


def test_the_front_is_what_nothing_beats():
    #         cheap+bad, dear+best, dominated, cheap+equal, middle
    spent, reached = [1.0, 9.0, 9.5, 1.0, 4.0], [0.1, 0.9, 0.8, 0.2, 0.5]
    assert pareto_front(spent, reached) == [3, 4, 1]
    assert pareto_front(spent, reached, higher_is_better=False) == [0]


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (False, True), (True, False)])
def test_chromium_draws_it(page, tmp_path, phone, dark):
    file = tmp_path / "report.html"
    file.write_text(page)
    seen = look(file, tmp_path / "seen.png", phone=phone, dark=dark)
    assert seen.console == []
    pixels = seen.pixels()
    background = pixels[5, 5, :3]
    assert (background.mean() < 64) == dark
    # Bars of both systems' colours, wide enough to be bars.
    first, second = ((127, 176, 212), (240, 152, 92)) if dark else ((51, 101, 138), (194, 87, 26))
    for colour in (first, second):
        assert (abs(pixels[..., :3].astype(int) - colour).max(-1) <= 3).sum() > 500
    if not phone:
        assert seen.html.count("<svg") == 4
    # Nothing sticks out of the window: the right edge is paper.
    edge = pixels[:, (389 if phone else 1279), :3]
    assert (edge == background).all()
