from __future__ import annotations

import io

import pytest
from rich.console import Console

from recsys_lab.data.card.terminal import counts_table, print_data_card
from tests.data.preparation.manifests import ABOUT, COUNTS, FINGERPRINT, WARNING, manifest


def printed(folder, *, width=80, terminal=False, **changes):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard"
                      if terminal else None)  # fmt: skip
    print_data_card(console, manifest(**changes), folder)
    return out.getvalue()


def words(text):
    return " ".join(text.split())


def test_everything_is_there_at_80_columns(tmp_path):
    out = printed(tmp_path)
    text = words(out)
    for part in (
        *("read 541,909 0 rows of the source", "reader 406,829 135,080 missing customer"),
        "k-core 12 3 5 406,817 users with fewer than 3 events",
        *("users 3", "items 5", "interactions 12", "density 60.0%"),
        *("events per user 4 median, 5 max", "time span 1970-01-01 to 1970-04-01 (90 days)"),
        *("split: leave_one_out", "test 3 3 25.0% 3 3", "train 3 6 50.0% - 2"),
        *("validation targets 3", "cold test targets 2"),
        *("items price numeric missing 12,345", "events device categorical values 17"),
        *(f"licence: {ABOUT['licence']}", f"citation: {ABOUT['citation']}"),
        *(f"homepage: {ABOUT['homepage']}", "- Returns are no purchases."),
    ):
        assert part in text, part
    assert f"warning: {WARNING}" in text
    leaks = manifest()["leaks"]
    for leak in leaks:
        count, rest = leak["explanation"].split("%)")
        assert f"{count}%)" in text
        alike = {
            one["severity"] for one in manifest()["leaks"] if one["explanation"].endswith(rest)
        }
        assert text.count(f"%){rest}") == len(alike)  # once for both phases
    both = "1 of 3 validation targets (33.3%) and 2 of 3 test targets (66.7%) are items without"
    assert f"cold_targets: {both} a training event" in text
    assert "property future_in_training" in text
    assert text.index("property future") < text.index("note users_in_two_roles")
    lines = out.splitlines()
    assert f"fingerprint: {FINGERPRINT}" in lines
    assert f"prepared dataset: {tmp_path}" in lines  # whole, also where it is long
    assert f"data card: {tmp_path / 'card.html'}" in lines
    assert all(len(line) <= 80 for line in lines if str(tmp_path) not in line)


def test_no_number_is_cut_at_80_columns(tmp_path):
    huge = [{**COUNTS[0], "rows": 10**11, "users": 10**9, "items": 10**9, "dropped": 10**10}]
    text = printed(tmp_path, counts=huge)
    for number in ("100,000,000,000", "1,000,000,000", "10,000,000,000"):
        assert number in text
    assert "…" not in text


def test_colour_only_repeats_what_the_words_say(tmp_path):
    found = {
        "kind": "cold_targets", "phase": "test", "explanation": "3 are new", "cure": "Look again",
    }  # fmt: skip
    leaks = [{**found, "severity": severity} for severity in ("note", "leak")]
    plain, coloured = printed(tmp_path), printed(tmp_path, terminal=True, leaks=leaks)
    assert coloured.index("31mleak") < coloured.index("33mnote")
    assert "3 are new. Look again" in words(coloured)
    assert "\x1b" not in plain
    assert "\x1b[1;31mleak" in coloured
    assert "\x1b[33mnote" in coloured


def test_words_of_a_dataset_are_not_markup(tmp_path):
    counts = [{**COUNTS[0], "reason": "column [bold]x[/nothing]"}]
    text = words(printed(tmp_path, counts=counts, about={**ABOUT, "title": "[red]Shop[/]"}))
    assert "column [bold]x[/nothing]" in text
    assert "[red]Shop[/]" in text


def test_without_times_leaks_about_and_features(tmp_path):
    text = words(printed(tmp_path, timed=False, leaks=[], about=None, features={}))
    assert "time span no timestamps" in text
    assert "leak check: no findings" in text
    assert "features: none" in text
    assert "licence and citation: none stated by this source" in text
    assert "shop_of_examples" in text  # the name of the folder where there is no title


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_it_can_be_printed_in_any_encoding(tmp_path, encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_data_card(Console(file=stream, width=80), manifest(), tmp_path)
    stream.flush()
    assert b"541,909" in raw.getvalue()


def test_counts_not_taken_are_left_empty():
    table = counts_table(manifest())
    assert [str(column.header) for column in table.columns] == [
        "step", "rows", "users", "items", "dropped", "reason",
    ]  # fmt: skip
    users = [str(cell) for cell in table.columns[2].cells]
    assert users == ["", "", "3"]
