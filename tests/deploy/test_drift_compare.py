"""The comparison of two logs in memory: matching, planted shifts, resamples, notes, refusals."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scripts.checks.simulate_drift import PLANTED, USUAL, draw, unshifted

from recsys_lab.config import UserError
from recsys_lab.deploy.drift.compare import Options, Thresholds, compare
from recsys_lab.deploy.drift.logs import DAY, Column, EventLog
from recsys_lab.deploy.drift.matching import match

LIMITS = Thresholds(None, 0.05, 0.05, 0.1, 0.1, 0.1, 0.05, 0.02, 0.1)
QUICK = Options(resamples=99, level=0.01, seed=0, days=None)


def log(rows, *, times=True, user=str, item=str, columns=None, kinds=None):
    """A log of (user, item, day) rows, sorted by user and day."""
    frame = pl.DataFrame(rows, ["user", "item", "day"], orient="row").sort("user", "day")
    users = frame["user"].unique(maintain_order=True)
    items = frame["item"].unique(maintain_order=True)
    number = dict(zip(users, range(len(users)), strict=True))
    code = dict(zip(items, range(len(items)), strict=True))
    return EventLog(
        "log", "file", pl.Series(map(user, users)), pl.Series(map(item, items)),
        np.array([code[raw] for raw in frame["item"]]),
        np.array([number[raw] for raw in frame["user"]]),
        frame["day"].to_numpy() * DAY if times else None, kinds or {}, columns=columns or {},
    )  # fmt: skip


OLD = log([(u, i, 100 + 2 * i) for u in range(40) for i in range(u % 3, u % 3 + 4)])


def shift(result, name):
    [one] = [one for one in result["shifts"] if one["name"] == name]
    return one


class TestPlanted:
    @pytest.mark.parametrize("name", sorted(PLANTED))
    def test_each_kind_is_found(self, name):
        rng = np.random.default_rng(5)
        old, new = draw(USUAL, 400, rng), draw(PLANTED[name], 400, rng)
        found = shift(compare(old, new, QUICK, LIMITS), name)
        assert found["above"]
        assert found["p"] == 0.01
        assert found["excess"] > found["threshold"]

    @pytest.mark.parametrize("kind", ["resampled users", "other users", "a part of OLD"])
    def test_an_unshifted_log_is_not(self, kind):
        above = []
        for seed in range(3):
            rng = np.random.default_rng([seed, 9])
            old = draw(USUAL, 150, rng)
            result = compare(old, unshifted(kind, old, 150, rng), QUICK, LIMITS)
            above += [one["name"] for one in result["shifts"] if one["above"]]
        assert above == []

    def test_a_null_threshold_reports_only(self):
        rng = np.random.default_rng(5)
        old, new = draw(USUAL, 200, rng), draw(PLANTED["gaps/psi"], 200, rng)
        result = compare(old, new, QUICK, Thresholds(*[None] * 9))
        assert shift(result, "gaps/psi")["p"] == 0.01
        assert not any(one["above"] for one in result["shifts"])

    def test_new_users_are_judged_only_with_a_threshold(self):
        new = log([(u, i, 100 + 2 * i) for u in range(30, 70) for i in range(4)])
        assert not shift(compare(OLD, new, QUICK, LIMITS), "users/new_share")["above"]
        strict = Thresholds(**{**vars(LIMITS), "max_new_users": 0.5})
        found = shift(compare(OLD, new, QUICK, strict), "users/new_share")
        assert (found["value"], found["above"]) == (0.75, True)


class TestOverlap:
    def test_users_and_items_are_counted_both_ways(self):
        new = log([(u, i, 200 + i) for u in range(30, 50) for i in range(3, 8)])
        result = compare(OLD, new, QUICK, LIMITS)
        assert result["users"] | {"notes": 0} == {
            "both": 10, "only_old": 30, "only_new": 10, "new_share": 0.5, "notes": 0,
        }  # fmt: skip
        assert {k: result["items"][k] for k in ("both", "only_old", "only_new")} == {
            "both": 3, "only_old": 3, "only_new": 2,
        }  # fmt: skip
        assert (
            result["items"]["events_on_only_new"]
            == shift(result, "popularity/new_share")["value"]
            == 0.4
        )

    def test_ids_match_across_types_and_this_is_noted(self):
        rows = [(u, i, 100 + 2 * i) for u in range(40) for i in range(u % 3, u % 3 + 4)]
        result = compare(OLD, log(rows, user=int, item=int), QUICK, LIMITS)
        assert shift(result, "popularity/js")["value"] == 0
        [note] = [note for note in result["notes"] if note.startswith("item ids")]
        assert "OLD has text, NEW has integers" in note
        assert any("user ids: OLD has text" in note for note in result["users"]["notes"])

    @pytest.mark.parametrize(
        ("spelled", "difference"),
        [("A1 ", "blanks"), ("a1", "case"), ("\uff211", "unicode")],
    )
    def test_another_spelling_is_noted(self, spelled, difference):
        matched = match(pl.Series(["A1", "B2"]), pl.Series(["B2", spelled]), "item")
        assert matched.new.tolist() == [1, 2]
        assert f"1 of NEW are in OLD only in another spelling ({difference}" in matched.notes[0]

    def test_decimals_and_leading_zeros_are_noted(self):
        decimal = match(pl.Series([7, 8]), pl.Series(["7.0", "8.0"]), "item")
        assert any("(decimal" in note for note in decimal.notes)
        assert "no item of NEW is in OLD" in decimal.notes[-1]
        zeros = match(pl.Series([7, 8]), pl.Series(["007", "8"]), "item")
        assert any("(zeros" in note for note in zeros.notes)

    def test_composed_and_decomposed_unicode_are_noted(self):
        matched = match(pl.Series(["caf\u00e9", "x"]), pl.Series(["cafe\u0301", "x"]), "user")
        assert any("(unicode" in note for note in matched.notes)


class TestParts:
    def test_without_timestamps_gaps_are_skipped_with_the_reason(self):
        new = log([(u, i, i) for u in range(40) for i in range(4)], times=False)
        result = compare(OLD, new, QUICK, LIMITS)
        assert {"part": "gaps", "reason": "NEW has no timestamps"} in result["skipped"]
        assert not any(one["part"] == "gaps" for one in result["shifts"])
        assert result["new"]["first"] is None

    def test_single_events_have_no_gaps_and_no_pairs(self):
        rows = [(u, u % 3, 100) for u in range(40)]
        result = compare(log(rows), OLD, QUICK, LIMITS)
        assert {"part": "gaps", "reason": "no user of OLD has two events"} in result["skipped"]
        result = compare(OLD, log(rows), QUICK, LIMITS)
        reason = "OLD or NEW has no value to compare"
        assert {"part": "pairs/js", "reason": reason} in result["skipped"]

    def test_a_missing_column_is_reported(self):
        column = {"user.plan": Column(np.zeros(40, int), ["basic"])}
        other = {"item.colour": Column(np.zeros(6, int), ["red"])}
        old = log(
            [(u, 0, 1) for u in range(40)], columns=column, kinds={"user.plan": "categorical"}
        )
        result = compare(old, OLD, QUICK, LIMITS)
        [one] = [one for one in result["skipped"] if one["part"] == "user.plan"]
        assert one["reason"].startswith("missing in NEW")
        new = log(
            [(u, u % 6, 1) for u in range(40)], columns=other, kinds={"item.colour": "categorical"}
        )
        parts = {one["part"]: one["reason"] for one in compare(old, new, QUICK, LIMITS)["skipped"]}
        assert parts["item.colour"].startswith("missing in OLD")

    def test_columns_of_two_types_are_reported(self):
        kinds = {"user.age": "categorical"}
        old = log(
            [(u, 0, 1) for u in range(40)], columns={"user.age": Column(np.zeros(40, int), ["1"])},
            kinds=kinds,
        )  # fmt: skip
        new = log(
            [(u, 0, 1) for u in range(40)], columns={"user.age": Column(np.ones(40))},
            kinds={"user.age": "numeric"},
        )  # fmt: skip
        skipped = compare(old, new, QUICK, LIMITS)["skipped"]
        assert {
            "part": "user.age",
            "reason": "of type categorical in OLD and numeric in NEW",
        } in skipped

    def test_values_are_matched_by_name_not_by_code(self):
        rows = [(u, u % 2, 1) for u in range(40)]
        kinds = {"item.kind": "categorical"}
        old = log(rows, columns={"item.kind": Column(np.array([0, 1]), ["a", "b"])}, kinds=kinds)
        new = log(rows, columns={"item.kind": Column(np.array([1, 0]), ["b", "a"])}, kinds=kinds)
        assert shift(compare(old, new, QUICK, LIMITS), "item.kind/js")["value"] == 0

    def test_lists_and_missing_numbers(self):
        rows = [(u, u % 2, 1) for u in range(40)]
        kinds = {"item.tags": "list", "item.price": "numeric"}
        tags = Column(np.array([0, 1, 1]), ["a", "b"], np.array([0, 2, 3]))
        price = np.array([1.0, 2.0])
        old = log(rows, columns={"item.tags": tags, "item.price": Column(price)}, kinds=kinds)
        lacking = Column(np.array([1.0, np.nan]))
        new = log(rows, columns={"item.tags": tags, "item.price": lacking}, kinds=kinds)
        result = compare(old, new, QUICK, LIMITS)
        assert result["details"]["item.tags"][0] in (
            {"value": "a", "old": 1 / 3, "new": 1 / 3},
            {"value": "b", "old": 2 / 3, "new": 2 / 3},
        )
        missing = {"value": "(missing)", "old": 0.0, "new": 0.5}
        assert missing in result["details"]["item.price"]
        assert shift(result, "item.price/psi")["above"]

    def test_days_compare_the_last_days_of_each(self):
        new = log([(u, i, 300 + 2 * i) for u in range(40) for i in range(6)])
        result = compare(OLD, new, Options(99, 0.01, 0, 3), LIMITS)
        assert result["old"]["first"] == "1970-04-19T00:00:00Z"  # days 108 and 110
        assert result["old"]["events"] == 39
        assert result["new"]["events"] == 80


class TestNotes:
    def test_periods_of_unequal_length_and_the_remedy(self):
        new = log([(u, i, 200 + i) for u in range(40) for i in range(2)])
        notes = compare(OLD, new, QUICK, LIMITS)["notes"]
        assert any(
            "OLD covers 10 days, NEW 1 days" in note or "NEW 1 day" in note for note in notes
        )
        assert any("days=1 compares the last days" in note for note in notes)

    def test_few_users(self):
        result = compare(OLD, log([(0, 0, 110), (0, 1, 111)]), QUICK, LIMITS)
        assert any("NEW has few users (1): too few to judge" in note for note in result["notes"])
        assert not any(shift["above"] for shift in result["shifts"])


class TestRefusals:
    def test_times_of_another_unit(self):
        late = log([(u, i, 30 * 366 + 200) for u in range(40) for i in range(2)])
        with pytest.raises(UserError, match=r"30 years apart: .*different units.*timestamp_unit"):
            compare(OLD, late, QUICK, LIMITS)

    def test_too_few_resamples_for_the_level(self):
        with pytest.raises(
            UserError, match=r"resamples: got 98, but level=0\.01 needs at least 99"
        ):
            compare(OLD, OLD, Options(98, 0.01, 0, None), LIMITS)

    def test_days_without_timestamps(self):
        new = log([(0, 0, 1)], times=False)
        with pytest.raises(UserError, match="days=7: NEW, log, has no timestamps"):
            compare(OLD, new, Options(99, 0.01, 0, 7), LIMITS)


@pytest.mark.parametrize(("moved", "said"), [(0, True), (1000, False)])
def test_without_times_shared_events_are_noted(moved, said):
    rows = [(u, u % 7 + i + moved * (u > 1)) for u in range(40) for i in range(4)]
    old = log([(u, u % 7 + i, i) for u in range(40) for i in range(4)], times=False)
    new = log([(u, item, n) for n, (u, item) in enumerate(rows)], times=False)
    notes = compare(old, new, QUICK, LIMITS)["notes"]
    shared = [note for note in notes if "pairs of a user and an item" in note]
    assert len(shared) == said  # of the moved ones, 8 of 160 pairs are in both
    assert all("share 160 pairs of a user and an item (100%" in note for note in shared)
