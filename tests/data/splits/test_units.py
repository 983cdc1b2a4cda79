"""Whole sessions and baskets are held out: splits by hand. A bar ends a session (and basket)."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from tests.data.splits.toys import in_items, make, typed_log

CUTS = {
    "test_start": "1970-01-01T04:00", "validation_start": "1970-01-01T02:00",
    "test_quantile": None, "validation_quantile": None,
}  # fmt: skip


def rows(log, phase):
    """(history items, target items) of each row."""
    gaps = set(log[1].dropped_targets.tolist())
    items = log[0].items.tolist()
    return [
        (user, items[start:end], [items[p] for p in range(end, last) if p not in gaps])
        for user, start, end, last in getattr(log[1], phase).tolist()
    ]


def test_the_last_session():
    log = typed_log("1 2 | 3 4 | 5 6 7", "1 | 2 3", "4 | 5 | 6")
    found = in_items(log, make("leave_one_out", unit="session").segments(log))
    assert found == {
        "train": {0: [1, 2], 1: [1, 2, 3], 2: [4]},  # user 1 has no session before two
        "validation": {0: ([1, 2], [3, 4]), 2: ([4], [5])},
        "test": {0: ([1, 2, 3, 4], [5, 6, 7]), 2: ([4, 5], [6])},
    }


def test_each_event_of_the_last_session_in_turn():
    log = typed_log("1 2 | 3 4 | 5 6 7", "4 | 5 | 6")
    segments = make("leave_one_out", unit="session", target="successive").segments(log)
    assert rows((log, segments), "test") == [
        (0, [1, 2, 3, 4], [5]),
        (0, [1, 2, 3, 4, 5], [6]),
        (0, [1, 2, 3, 4, 5, 6], [7]),
        (1, [4, 5], [6]),
    ]
    assert segments.train.tolist() == [[0, 0, 2], [1, 7, 8]]


def test_the_last_session_with_a_purchase():
    log = typed_log("1 | 2 3B | 4 | 5 6B 7 8B | 9 9")
    options = {"unit": "session", "target_events": ["purchase"]}
    segments = make("leave_one_out", **options).segments(log)
    # At once: by what came before the session; the views in it are neither read nor asked for.
    assert rows((log, segments), "test") == [(0, [1, 2, 3, 4], [6, 8])]
    assert rows((log, segments), "validation") == [(0, [1], [3])]
    assert segments.train.tolist() == [[0, 0, 1]]
    in_turn = make("leave_one_out", **options, target="successive").segments(log)
    assert rows((log, in_turn), "test") == [
        (0, [1, 2, 3, 4, 5], [6]), (0, [1, 2, 3, 4, 5, 6, 7], [8]),
    ]  # fmt: skip


def test_the_next_basket():
    log = typed_log("1 2 | 2 3 | 1 4 4", "5 | 6 | 7 8")
    found = in_items(log, make("leave_one_out", unit="basket").segments(log))
    assert found["test"] == {0: ([1, 2, 2, 3], [1, 4, 4]), 1: ([5, 6], [7, 8])}
    assert found["validation"] == {0: ([1, 2], [2, 3]), 1: ([5], [6])}


@pytest.mark.parametrize(
    ("unit", "target", "test"),
    [
        ("session", "first", [(0, [1, 2, 3, 4, 5], [6]), (1, [1, 2, 3, 4, 5], [6])]),
        ("session", "last", [(0, [1, 2, 3, 4, 5, 6, 7], [8]), (1, [1, 2, 3, 4, 5, 6], [7])]),
        ("session", "all", [(0, [1, 2, 3, 4, 5], [6, 7, 8]), (1, [1, 2, 3, 4, 5], [6, 7])]),
        ("basket", "first", [(0, [1, 2, 3, 4, 5], [6, 7]), (1, [1, 2, 3, 4, 5], [6, 7])]),
        ("basket", "last", [(0, [1, 2, 3, 4, 5, 6, 7], [8]), (1, [1, 2, 3, 4, 5], [6, 7])]),
        ("basket", "successive", [
            (0, [1, 2, 3, 4, 5], [6, 7]), (0, [1, 2, 3, 4, 5, 6, 7], [8]),
            (1, [1, 2, 3, 4, 5], [6, 7]),
        ]),
    ],
)  # fmt: skip
def test_a_cut_in_time_goes_through_no_unit(unit, target, test):
    """User 0: 4 and 5 lie on both sides of the test cut (hour 4), user 1: 2 to 5 of both cuts."""
    log = typed_log("1 2 | 3 | 4 5 | 6 7 | 8", "1 | 2 3 4 5 | 6 7", "1 2 | 3 4")
    segments = make("global_temporal", unit=unit, target=target, **CUTS).segments(log)
    found = rows((log, segments), "test")
    assert found == test
    assert segments.train.tolist() == [[0, 0, 2], [1, 8, 9], [2, 15, 17]]
    kept = [(0, [1, 2], [3]), (2, [1, 2], [3, 4])]
    if unit == "session" and target in ("first", "last"):
        kept[1] = (2, [1, 2], [3]) if target == "first" else (2, [1, 2, 3], [4])
    assert rows((log, segments), "validation") == kept


def test_rolling_windows_keep_sessions_whole():
    log = typed_log("1 2 | 3 4 5 | 6", "1 | 2 | 3 | 4 | 5 | 6")
    hour = 1 / 24
    split = make(
        "rolling", unit="session", target="all", num_windows=1, window=0, window_days=2 * hour,
        validation_days=2 * hour,
    )  # fmt: skip
    segments = split.segments(log)  # training before hour 2, test from hour 4 on
    assert segments.train.tolist() == [[0, 0, 2], [1, 6, 8]]
    assert rows((log, segments), "validation") == [(1, [1, 2], [3, 4])]
    assert rows((log, segments), "test") == [(0, [1, 2, 3, 4, 5], [6]), (1, [1, 2, 3, 4], [5, 6])]


def test_units_that_are_not_known():
    with pytest.raises(UserError, match=r"split.unit=session: the log has no sessions: name their"):
        make("last_n", unit="session").segments(typed_log("1 2 3"))
    with pytest.raises(UserError, match=r"split.unit=basket: the log has neither baskets nor"):
        make("last_n", unit="basket").segments(typed_log("1 2 3"))
    with pytest.raises(UserError, match=r"split.target=successive: a single event is held out"):
        make("leave_one_out", target="successive")
    with pytest.raises(UserError, match=r"a single basket is held out, .* set split.unit=session"):
        make("leave_one_out", target="successive", unit="basket")
