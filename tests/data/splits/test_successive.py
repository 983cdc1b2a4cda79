"""Each held-out event is a target in turn, by all events before it."""

from __future__ import annotations

from recsys_lab.data.leaks.check import check_leaks
from recsys_lab.data.leaks.world import World
from recsys_lab.data.preparation.statistics import describe
from tests.data.splits.toys import DAY, log_of, make

LOG = log_of(
    [(1, 0), (2, 1 * DAY), (3, 2 * DAY), (4, 3 * DAY), (1, 4 * DAY), (2, 5 * DAY)],
    [(2, 0), (1, 3 * DAY)],
    [(4, 4 * DAY), (3, 4 * DAY), (1, 5 * DAY)],  # nothing before the cut: its first is only read
)
CUTS = {
    "test_start": "1970-01-04", "validation_start": "1970-01-02",
    "test_quantile": None, "validation_quantile": None,
}  # fmt: skip


def test_global_temporal_by_hand():
    segments = make("global_temporal", target="successive", **CUTS).segments(LOG)
    assert segments.train.tolist() == [[0, 0, 1], [1, 6, 7]]
    assert segments.validation.tolist() == [[0, 0, 1, 2], [0, 0, 2, 3]]
    assert segments.test.tolist() == [
        [0, 0, 3, 4], [0, 0, 4, 5], [0, 0, 5, 6], [1, 6, 7, 8], [2, 8, 9, 10], [2, 8, 10, 11],
    ]  # fmt: skip
    assert segments.counts["test_targets"] == 6
    assert segments.counts["test_users_without_history"] == 1
    assert segments.counts["cold_test_users"] == 1  # of two rows
    assert segments.counts["events_unused"] == 0
    sizes = describe(LOG, segments)["split"]["test"]
    assert (sizes["users"], sizes["targets"]) == (3, 6)


def test_later_rows_that_read_earlier_targets_are_no_leak():
    segments = make("global_temporal", target="successive", **CUTS).segments(LOG)
    kinds = {(leak.kind, leak.phase) for leak in check_leaks(World(LOG, segments))}
    assert not kinds & {("target_in_history", "test"), ("target_in_history", "validation")}
    [roles] = [
        leak for leak in check_leaks(World(LOG, segments))
        if leak.kind == "users_in_two_roles" and leak.phase == "test"
    ]  # fmt: skip
    assert (roles.count, roles.total) == (2, 3)  # users, not rows


def test_last_n_by_hand():
    split = make("last_n", validation_events=1, test_events=2, target="successive")
    segments = split.segments(LOG)
    assert segments.validation.tolist() == [[0, 0, 3, 4]]
    assert segments.test.tolist() == [[0, 0, 4, 5], [0, 0, 5, 6]]
    assert split.settings()["target"] == "successive"
    assert "target" not in make("last_n").settings()  # as before there was a choice


def test_cold_targets_go_with_their_rows():
    segments = make("global_temporal", target="successive", cold_items="drop", **CUTS).segments(LOG)
    # Trained on are items 1 and 2.
    assert segments.test.tolist() == [[0, 0, 4, 5], [0, 0, 5, 6], [1, 6, 7, 8], [2, 8, 10, 11]]
    assert segments.counts["dropped_cold_test_targets"] == 2
    assert not len(segments.dropped_targets)
