"""Views are read, purchases must be found: every split on logs that are split by hand."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from tests.data.splits.toys import in_items, make, typed_log

BOUGHT = {"target_events": ["purchase"]}


def split_of(name, log, **options):
    return make(name, **BOUGHT, **options).segments(log)


def test_leave_one_out():
    log = typed_log("1 2B 3 4B 5 6 7B 8 9", "1 2 3B", "4B 5B", "6B 7 8B 9B", "2 3")
    segments = split_of("leave_one_out", log)
    assert in_items(log, segments) == {
        # Before the last purchase but one; users without two purchases and an event before: wholly.
        "train": {0: [1, 2, 3], 1: [1, 2, 3], 2: [4, 5], 3: [6, 7], 4: [2, 3]},
        "validation": {0: ([1, 2, 3], [4]), 3: ([6, 7], [8])},
        "test": {0: ([1, 2, 3, 4, 5, 6], [7]), 3: ([6, 7, 8], [9])},
    }
    assert segments.counts["events_unused"] == 2  # 8 and 9 of user 0, after the test target
    assert segments.counts["test_targets"] == 2


def test_last_n():
    log = typed_log("1 2B 3 4B 5 6 7B 8 9B 1", "1 2B 3B 4B")
    segments = split_of("last_n", log, validation_events=1, test_events=2)
    assert in_items(log, segments) == {
        "train": {0: [1, 2, 3], 1: [1]},
        "validation": {0: ([1, 2, 3], [4]), 1: ([1], [2])},
        "test": {0: ([1, 2, 3, 4, 5, 6], [7, 9]), 1: ([1, 2], [3, 4])},
    }
    assert segments.dropped_targets.tolist() == [7]  # the 8 that was viewed between 7 and 9


def test_user_ratio():
    # 5 purchases: one each; one purchase: neither.
    log = typed_log("1B 2 3B 4B 5 6B 7B 8", "1 2 3 4B")
    assert in_items(log, split_of("user_ratio", log)) == {
        "train": {0: [1, 2, 3, 4, 5], 1: [1, 2, 3, 4]},
        "validation": {0: ([1, 2, 3, 4, 5], [6])},
        "test": {0: ([1, 2, 3, 4, 5, 6], [7])},
    }


def test_unseen_users():
    log = typed_log("1 2B 3", "4 5B", "6 7", "8B 9", "1 2B")
    segments = split_of("unseen_users", log, validation_users=0.34, test_users=0.34)
    found = in_items(log, segments)
    ways = {0: ([1], [2]), 1: ([4], [5]), 4: ([1], [2])}
    held = found["validation"] | found["test"]
    assert len(held) == 2  # of the three who bought something after another event
    assert held == {user: ways[user] for user in held}
    assert found["train"].keys() == {0, 1, 2, 3, 4} - held.keys()


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("first", {0: ([1, 2, 3, 4, 5], [6]), 1: ([5, 6, 7, 8], [9])}),
        ("last", {0: ([1, 2, 3, 4, 5, 6, 7], [8]), 1: ([5, 6, 7, 8], [9])}),
        ("all", {0: ([1, 2, 3, 4, 5], [6, 8]), 1: ([5, 6, 7, 8], [9])}),
    ],
)
def test_global_temporal(target, wanted):
    log = typed_log("1 2B 3B 4 5 6B 7 8B 9", "5 6 7 8 9B", "1 2 3B")
    cuts = {"test_start": "1970-01-01T04:00", "validation_start": "1970-01-01T02:00"}
    cuts |= {"test_quantile": None, "validation_quantile": None}
    segments = split_of("global_temporal", log, target=target, **cuts)
    found = in_items(log, segments)
    assert found["train"] == {0: [1, 2], 1: [5, 6], 2: [1, 2]}
    assert found["validation"] == {0: ([1, 2], [3]), 2: ([1, 2], [3])}
    assert found["test"] == wanted


def test_nobody_bought_twice():
    with pytest.raises(UserError) as error:
        split_of("leave_one_out", typed_log("1 2 3B", "4B 5 6"))
    assert (
        "split=leave_one_out: no validation target is left. Targets need users with 2 purchase "
        "events and an event before them; the most that a user has is 1, and the longest history "
        "has 3 events" in str(error.value)
    )
