"""Candidates that nobody could know yet, and filters that count what comes later."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.leaks import future
from recsys_lab.data.leaks.fatal import fatal, words_of
from recsys_lab.data.leaks.world import World
from recsys_lab.data.preparation.row_filters import Filters
from tests.data.conftest import Given, build
from tests.data.splits.toys import log_of, make

# Cuts at 60 and 80 by the quantiles. 4 old items; items 4 to 9 come at 90 to 95.
OLD = [[(user % 4, 10 + user), ((user + 1) % 4, 40 + user), ((user + 2) % 4, 60 + user)]
       for user in range(6)]  # fmt: skip
NEW = [[*events, (4 + user, 90 + user)] for user, events in enumerate(OLD)]
BY_TIME = {
    "test_start": "1970-01-01T00:01:20", "test_quantile": None, "target": "last",
    "validation_start": "1970-01-01T00:01:00", "validation_quantile": None,
}  # fmt: skip


def found(log, split, **filters):
    made = build(Filters, "filter", "default", **filters)
    world = World(log, split.segments(log), made)
    return [(leak.kind, leak.phase, leak.count, leak.total, leak.severity)
            for leak in future.find(world)]  # fmt: skip


def test_candidates_that_come_later():
    # Test at 90 + u: items 4 + u + 1 to 9 come later, 5 + 4 + 3 + 2 + 1 of 6 targets x 10 items.
    # Validation at 60 + u: 6 of the 10 each.
    assert found(log_of(*NEW), make("global_temporal", **BY_TIME)) == [
        ("unreleased_candidates", "validation", 36, 60, "warning"),
        ("unreleased_candidates", "test", 15, 60, "warning"),
    ]
    # By position training holds 40 to 45, before all: still the split keeps the future.
    late = [[(user % 4, 10 + 200 * user), ((user + 1) % 4, 40 + 200 * user),
             ((user + 2) % 4, 60 + 200 * user), (4 + user, 90 + 200 * user)]
            for user in range(6)]  # fmt: skip
    kinds = found(log_of(*late), make("leave_one_out"))
    # User 0's test lacks items 5 to 9 and what user 1 brings: nothing, as 0 to 3 go in turn:
    # 0, 1, 2 and 4 are there at 90; 3 is not.
    assert kinds[1] == ("unreleased_candidates", "test", 6 + 4 + 3 + 2 + 1 + 0, 60, "property")


def test_a_few_new_items_are_a_note_or_nothing():
    steady = [
        [(item % 20, 10 * item + user) for item in range(user, user + 30)] for user in range(6)
    ]
    one = [[*events, (20, 5000)] if user == 0 else events for user, events in enumerate(steady)]
    assert [entry[2:] for entry in found(log_of(*one), make("leave_one_out"))][-1][-1] == "note"
    assert found(log_of(*steady), make("leave_one_out", cold_items="drop"))[1:] == []


COUNTED = pl.DataFrame(
    [(user, item, 10 + user) for user, item in enumerate([0, 0, 0, 1, 1, 1])]
    + [(user, 0, 60 + user) for user in range(6)]
    + [(user, 1 + (user > 3), 80 + user) for user in range(6)],
    schema=["user_id", "item_id", "timestamp"],
    orient="row",
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Items 0 and 1 have 3 training events each, item 2 none: one of 3 stayed by its test.
        ({"min_item_count": 2}, [("items", 1, 3)]),
        # Each user has one training event.
        ({"min_user_count": 3}, [("users", 6, 6)]),
        ({"min_item_count": 2, "min_user_count": 2}, [("items", 1, 3), ("users", 6, 6)]),
        ({"max_history": 3}, [("users", 6, 6)]),
        ({"max_history": 9}, []),
        ({}, []),
    ],
)
def test_filters_that_count_the_test(run, options, expected):
    split = make("global_temporal", **BY_TIME)
    data = run(Given(interactions=COUNTED), split=split, **options)
    leaks = [leak for leak in data.manifest["leaks"] if leak["kind"] == "filters_read_the_future"]
    assert [(leak["count"], leak["total"]) for leak in leaks] == [entry[1:] for entry in expected]
    for leak, (of, count, total) in zip(leaks, expected, strict=True):
        assert leak["explanation"].startswith(f"{count} of {total} {of} (")
        assert leak["severity"] == "warning"
        assert leak["cure"] == "filter.counts=training counts training events only"


def test_the_cure_of_filters_works(run):
    log = Given(interactions=COUNTED)
    split = make("global_temporal", **{**BY_TIME, "target": "first"})
    whole = run(log, split=split, min_item_count=2)
    with pytest.raises(UserError, match=r"filters_read_the_future \(test\): 1 of 3 items"):
        fatal(whole.manifest, ["filters_read_the_future"])
    cured = run(log, split=split, min_item_count=2, counts="training")
    fatal(cured.manifest, ["filters_read_the_future"])
    assert cured.num_items == 2


def test_another_choice_of_candidates_is_not_stopped():
    log = log_of(*NEW)
    leaks = [leak.to_json() for leak in future.find(World(log, make("global_temporal", **BY_TIME)
                                                          .segments(log)))]  # fmt: skip
    manifest = {"leaks": leaks, "leak_kinds": ["unreleased_candidates"]}
    words = words_of("unreleased_candidates")
    with pytest.raises(UserError, match=r"\(25.0%\) are items whose.*candidates=released"):
        fatal(manifest, words)
    fatal(manifest, words, all_are_candidates=False)


def test_without_times_nothing_is_said():
    assert found(log_of(*[[1, 2, 3, 4]] * 8), make("leave_one_out"), min_item_count=3) == []
