"""Sessions that are cut by the split, and a user's later events in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys_lab.data.leaks.check import check_leaks
from recsys_lab.data.leaks.world import World
from tests.data.splits.toys import make, typed_log

LOG = typed_log("1 2 | 3 4 5 | 6 7", "1 | 2 | 3 4 5 | 6", "1 2 | 3 | 4 5", "1 2 3 4 5 6 7")
CUTS = {
    "test_start": "1970-01-01T04:00", "validation_start": "1970-01-01T02:00",
    "test_quantile": None, "validation_quantile": None,
}  # fmt: skip


def found(log, segments, kind):
    return {
        leak.phase: (leak.severity, leak.count, leak.total)
        for leak in check_leaks(World(log, segments))
        if leak.kind == kind
    }


def straddling(log, **options):
    return found(log, make("global_temporal", **CUTS, **options).segments(log), "sessions_straddle")


@pytest.mark.parametrize(
    ("target", "validation", "test"),
    [
        # Of user 2 validation asks for hour 2 alone, and the session of the test began at hour 3.
        ("first", (1, 4), (3, 4)),
        ("all", (1, 5), (4, 6)),
        # Their last events are in sessions that begin after the cut, but for users 2 and 3.
        ("last", (1, 4), (2, 4)),
    ],
)
def test_sessions_on_both_sides_of_a_cut(target, validation, test):
    """At hour 2 user 3 is in a session, at hour 4 all are."""
    straddle = straddling(LOG, target=target)
    assert straddle == {"validation": ("warning", *validation), "test": ("warning", *test)}


def test_held_out_whole_or_not_known():
    assert straddling(LOG, target="all", unit="session") == {}
    assert straddling(replace(LOG, sessions=None), target="all") == {}


def test_leave_one_out_cuts_sessions():
    segments = make("leave_one_out").segments(LOG)
    # Of users 0, 2 and 3 the last two events are of one session.
    assert found(LOG, segments, "sessions_straddle") == {
        "validation": ("property", 2, 4),  # users 1 and 3
        "test": ("property", 3, 4),
    }
    [explanation] = [
        leak.explanation
        for leak in check_leaks(World(LOG, segments))
        if leak.kind == "sessions_straddle" and leak.phase == "test"
    ]
    assert explanation == (
        "3 of 4 sessions with test targets (75.0%) began in an earlier part, so that the first "
        "events of a session are known when its last ones are predicted"
    )


@pytest.mark.parametrize("name", ["leave_one_out", "last_n", "user_ratio", "global_temporal"])
def test_no_split_trains_on_what_comes_after_a_target(name):
    options = {"last_n": {"validation_events": 1, "test_events": 1}, "global_temporal": CUTS}
    options = options.get(name, {})
    log = replace(LOG, is_target=np.arange(len(LOG.items)) % 2 == 0)
    segments = make(name, **options, target_events=["buy"]).segments(log)
    assert found(log, segments, "later_events_in_training") == {}
    # A split that went on training after the targets would be found.
    ends = log.offsets[segments.train[:, 0] + 1]
    wrong = replace(segments, train=np.stack([*segments.train.T[:2], ends], axis=1))
    severity, count, _ = found(log, wrong, "later_events_in_training")["validation"]
    users, places = segments.validation[:, 0], segments.validation[:, 3] - 1
    last = {int(user): int(end) - 1 for (user, *_), end in zip(segments.train, ends, strict=True)}
    later = [p < last.get(u, -1) for u, p in zip(users.tolist(), places.tolist(), strict=True)]
    assert (severity, count) == ("leak", sum(later))
