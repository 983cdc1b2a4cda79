"""A planted leak of each kind is found; where none is planted nothing is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.data.leaks.check import KINDS as ALL
from recsys_lab.data.leaks.check import KINDS_BY_TIME, check_leaks, in_order
from recsys_lab.data.leaks.positions import KINDS, find
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits import ranges as places_module
from recsys_lab.data.splits.base import FlatLog, Segments
from tests.data.splits.toys import log_of, logs, make

# Users 0 and 1 are trained on, up to time 4; user 2 is for validation, user 3 for test. Item 9 is
# the most popular one; nobody has to find it.
ITEMS = [[9, 1, 2, 3], [9, 9, 4, 5], [1, 2, 3], [2, 4, 5]]
TIMES = [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7], [6, 7, 8]]
TRAIN = [[0, 0, 4], [1, 4, 8]]
VALIDATION = [[2, 8, 10, 11]]
TEST = [[3, 11, 13, 14]]
HELD_OUT = ("validation", "test")


def world(items=ITEMS, times=TIMES, sessions=None):
    log = log_of(*(list(zip(*user, strict=True)) for user in zip(items, times, strict=True)))
    return log if sessions is None else replace(log, sessions=np.array(sessions))


def rows(train=TRAIN, validation=VALIDATION, test=TEST, dropped=None):
    arrays = [np.array(part, dtype=np.int64) for part in (train, validation, test)]
    if dropped is None:
        return Segments(*arrays)
    return Segments(*arrays, dropped_targets=np.array(dropped, dtype=np.int64))


def checked(dataset):
    """What this family finds; the others have tests of their own."""
    return in_order(find(dataset))


def check(log, segments):
    found = checked(World(log, segments, top_k=1, last_window=1.0, held_out_phases=HELD_OUT))
    return {(leak.kind, leak.phase): leak for leak in found}


def changed(nested, user, place, value):
    copy = [list(row) for row in nested]
    copy[user][place] = value
    return copy


def test_all_families_stand_in_order():
    leaks = check_leaks(World(world(), rows(train=[*TRAIN, [3, 13, 14]])))
    order = [
        ("validation", "test").index(leak.phase) * 100 + ALL.index(leak.kind) for leak in leaks
    ]
    assert order == sorted(order)
    assert len(leaks) > 1


def test_nothing_planted_nothing_found():
    assert check(world(), rows()) == {}


PLANTED = {
    "target_in_training": ({}, {"train": [*TRAIN, [3, 13, 14]]}, "leak"),
    "target_in_history": ({}, {"validation": [[2, 8, 10, 11], [3, 11, 13, 14]]}, "leak"),
    "future_in_training": ({"times": changed(TIMES, 0, 3, 8)}, {}, "property"),
    "repeated_targets": ({"items": changed(ITEMS, 3, 2, 2)}, {}, "note"),
    "repeats_last_event": ({"items": changed(ITEMS, 3, 2, 4)}, {}, "note"),
    "tied_times": ({"times": changed(TIMES, 3, 1, 8)}, {}, "note"),
    "cold_targets": ({"items": changed(ITEMS, 3, 2, 7)}, {}, "note"),
    "users_in_two_roles": ({}, {"train": [*TRAIN, [3, 11, 12]]}, "leak"),
    "popularity_predicts": ({"items": changed(ITEMS, 3, 2, 9)}, {}, "note"),
    "later_events_in_training": (
        {"items": [*ITEMS[:3], [2, 4, 5, 3]], "times": [*TIMES[:3], [6, 7, 8, 9]]},
        {"train": [*TRAIN, [3, 14, 15]]},
        "leak",
    ),
    "sessions_straddle": (
        {"sessions": [0, 4, 8, 9, 11]},
        {"train": [*TRAIN, [3, 11, 12]]},
        "note",
    ),
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "same_basket"])
def test_a_planted_leak_is_found(kind):
    of_world, of_rows, severity = PLANTED[kind]
    found = check(world(**of_world), rows(**of_rows))
    leak = found[kind, "test"]
    assert (leak.count, leak.total, leak.share) == (1, 1, 1.0)
    assert leak.severity == severity
    assert leak.explanation.startswith("1 of 1 test ")
    assert json.loads(json.dumps(leak.to_json())) == leak.to_json()
    # What comes with it by nature: a target or a user in training brings its time and user along.
    company = {
        "target_in_training": {"users_in_two_roles", "future_in_training"},
        "target_in_history": {"users_in_two_roles"},
        "users_in_two_roles": {"future_in_training"},
        "future_in_training": set(),
        "repeats_last_event": {"repeated_targets"},
        "later_events_in_training": {"users_in_two_roles", "future_in_training"},
        "sessions_straddle": {"users_in_two_roles", "future_in_training"},
    }
    others = {name for name, _ in found} - {kind}
    assert others <= company.get(kind, set())


def test_future_in_training_counts_ties():
    found = check(world(times=changed(TIMES, 0, 3, 7)), rows())
    assert set(found) == {("future_in_training", "validation")}  # its target is at 7, test's at 8


def test_test_targets_that_validation_looks_for():
    segments = rows(validation=[[3, 11, 12, 14]])
    assert check(world(), segments)["target_in_history", "test"].count == 1


def test_dropped_targets_are_no_targets():
    items = changed(ITEMS, 3, 1, 7)  # cold, and in the way
    several = [[3, 11, 12, 14]]
    assert check(world(items), rows(test=several))["cold_targets", "test"].share == 0.5
    assert check(world(items), rows(test=several, dropped=[12])) == {}


def test_roles_are_a_note_where_the_split_shares_users():
    log = world()
    segments = make("leave_one_out").segments(log)
    found = {(leak.kind, leak.phase): leak for leak in checked(World(log, segments))}
    role = found["users_in_two_roles", "test"]
    assert (role.count, role.total, role.severity) == (4, 4, "note")
    # Trained: up to times 2, 2, 5, 6. Tests at 4, 4, 7, 8; validation at 3, 3, 6, 7.
    future = found["future_in_training", "test"]
    assert (future.count, future.total, future.severity) == (2, 4, "property")
    assert found["future_in_training", "validation"].count == 3


def test_popularity_of_the_last_window():
    # Training in order of time: 1 1 1 2 2 | 3 3 ...: the window's items decide, not all of them.
    log = log_of(
        [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 7), (3, 8)], [(2, 10), (3, 11)]
    )
    segments = rows([[0, 0, 8]], [[1, 8, 9, 10]], [[1, 8, 9, 10]])
    options = {"top_k": 1, "last_window": 0.3}
    kinds = {(leak.kind, leak.phase) for leak in checked(World(log, segments, **options))}
    assert ("popularity_predicts", "test") in kinds
    assert ("popularity_predicts", "validation") not in kinds
    whole = log_of([(1, 1), (1, 2), (1, 3), (3, 4)], [(2, 10), (3, 11)])
    segments = rows([[0, 0, 4]], [[1, 4, 5, 6]], [[1, 4, 5, 6]])
    for window, hit in ((1.0, False), (0.25, True)):
        found = checked(World(whole, segments, top_k=1, last_window=window))
        assert any(leak.kind == "popularity_predicts" for leak in found) is hit


def test_without_times():
    log = log_of(*ITEMS)
    found = checked(World(log, rows(train=[*TRAIN, [3, 13, 14]]), top_k=1))
    assert {leak.kind for leak in found} == {"target_in_training", "users_in_two_roles"}
    assert set(KINDS_BY_TIME) >= {"future_in_training", "tied_times"}


@pytest.mark.parametrize("ties", [4, 5, 10])
def test_half_of_the_targets_in_the_basket_of_the_event_before(ties):
    """Ten users with two lines of one receipt at the end, or an hour apart."""
    log = log_of(*([(0, 1), (1, 2), (2, 3), (3, 3 if user < ties else 4)] for user in range(10)))
    segments = make("leave_one_out").segments(log)
    found = {x.kind: x for x in checked(World(log, segments)) if x.phase == "test"}
    name, other = ("same_basket", "tied_times") if ties >= 5 else ("tied_times", "same_basket")
    assert (found[name].count, found[name].total) == (ties, 10)
    assert found[name].severity == ("property" if ties >= 5 else "note")
    assert other not in found
    ids = replace(log, baskets=np.flatnonzero(np.arange(40) % 4 != 3))  # of a column
    found = {x.kind: x for x in checked(World(ids, segments)) if x.phase == "test"}
    assert (found["same_basket"].count, found["tied_times"].count) == (10, ties)


def brute_force(log: FlatLog, segments: Segments) -> dict[tuple[str, str], int]:
    """The counts, event by event."""
    train = {p for _, a, b in segments.train.tolist() for p in range(a, b)}
    items, times = log.items.tolist(), log.timestamps.tolist()
    known, latest = {items[p] for p in train}, max(times[p] for p in train)
    gaps = set(segments.dropped_targets.tolist())
    counts: dict[tuple[str, str], int] = {}
    for phase in ("validation", "test"):
        for _, start, end, target_end in getattr(segments, phase).tolist():
            for target in set(range(end, target_end)) - gaps:
                hits = {
                    "repeated_targets": items[target] in items[start:end],
                    "tied_times": times[end - 1] == times[target],
                    "cold_targets": items[target] not in known,
                    "future_in_training": times[target] <= latest,
                }
                for kind, hit in hits.items():
                    counts[kind, phase] = counts.get((kind, phase), 0) + hit
    return counts


@pytest.mark.parametrize("chunk", [5, 2_000_000])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("leave_one_out", {}),
        ("last_n", {"validation_events": 1, "test_events": 3, "cold_items": "drop"}),
        ("global_temporal", {"target": "all", "test_quantile": 0.6, "validation_quantile": 0.3}),
    ],
)
def test_counts_equal_brute_force(name, options, chunk, monkeypatch):
    monkeypatch.setattr(places_module.row_chunks, "__defaults__", (chunk,))

    @settings(max_examples=40, deadline=None)
    @given(log=logs())
    def every(log):
        try:
            segments = make(name, **options).segments(log)
        except UserError:
            return
        found = {(x.kind, x.phase): x for x in checked(World(log, segments))}
        want = brute_force(log, segments)
        for (kind, phase), count in want.items():
            many = kind == "tied_times" and log.baskets is None and ("same_basket", phase) in found
            key = ("same_basket" if many else kind, phase)
            assert (found[key].count if key in found else 0) == count
        for phase in ("validation", "test"):
            total = segments.counts[f"{phase}_targets"]
            others = ("users_in_two_roles", "sessions_straddle")  # count no targets
            assert all(
                x.total == total
                for (kind, p), x in found.items()
                if p == phase and kind not in others
            )
        assert not {"target_in_training", "target_in_history"} & {kind for kind, _ in found}

    every()


@settings(max_examples=60, deadline=None)
@given(log=logs(), data=st.data())
def test_planted_places_are_found(log, data):
    """Whatever target is put into training is found, as many times as it was put there."""
    try:
        clean = make("leave_one_out").segments(log)
    except UserError:
        return
    row = data.draw(st.integers(0, len(clean.test) - 1))
    user = int(clean.test[row, 0])
    train = clean.train.copy()
    train[train[:, 0] == user, 2] = clean.test[row, 3]  # the user's whole history
    found = checked(World(log, Segments(train, clean.validation, clean.test)))
    planted = {(leak.phase, leak.count) for leak in found if leak.kind == "target_in_training"}
    assert planted == {("validation", 1), ("test", 1)}
