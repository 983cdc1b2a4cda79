"""What holds for every split, on logs that hypothesis makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.data.splits.cold_start import target_ranges
from tests.data.splits.toys import CONFIGS, DAY, KINDS, logs, make

CHOICES = {
    "leave_one_out": [{}, {"target": "successive", "unit": "session"}],
    "last_n": [
        {"validation_events": 1, "test_events": 2},
        {"validation_events": 2, "test_events": 3, "target": "successive"},
        {"validation_events": 2},
    ],
    "user_ratio": [
        {"validation_ratio": 0.3, "test_ratio": 0.4, "target": target}
        for target in ("all", "successive")
    ],
    "unseen_users": [
        {"validation_users": 0.3, "test_users": 0.3, "targets": 2, "target": "successive"},
        {"validation_users": 0.3, "test_users": 0.3, "targets": 2},
        {},
    ],
    "given": [{"out_of_order": "keep"}],
    "global_temporal": [
        {"target": target, "validation": by, "test_quantile": 0.7, "validation_quantile": 0.4}
        for target in ("first", "last", "random", "all", "successive")
        for by in ("time", "users")
    ],
    "rolling": [
        {"target": target, "window": 1, "num_windows": 2, "train_days": days}
        for target in ("first", "last", "all", "successive")
        for days in (None, 10)
    ],
}
GLOBAL = ("global_temporal", "rolling")
COLD = st.sampled_from(["keep", "drop", "report"])


def test_every_split_is_checked():
    assert set(CHOICES) == set(KINDS) == {file.stem for file in CONFIGS.glob("*.yaml")}


def split_it(name, log, data):
    """The split and its segments; None where it says that nothing is left."""
    options = data.draw(st.sampled_from(CHOICES[name]))
    unit = data.draw(st.sampled_from(["event", "session", "basket"]))
    options = {**options, "cold_items": data.draw(COLD)}
    if name != "given":  # sessions and baskets stay as the source cut them
        options.setdefault("unit", unit)
    if name in GLOBAL:
        options["cold_users"] = data.draw(COLD)
    split = make(name, **options)
    try:
        return split, split.segments(log)
    except UserError as error:
        message = str(error)
    assert message.startswith(f"split={name}: ")
    return split, None


def parts(segments):
    """Places that are trained on, and of both phases (history, target) places by (user, row)."""
    trained = {p for _, start, end in segments.train.tolist() for p in range(start, end)}
    phases = {}
    for phase in ("validation", "test"):
        rows = getattr(segments, phase)
        places, of_row = target_ranges(rows, segments.dropped_targets)
        phases[phase] = {
            (user, row): (set(range(start, end)), set(places[of_row == row].tolist()))
            for row, (user, start, end, _) in enumerate(rows.tolist())
        }
    return trained, phases


@pytest.mark.parametrize("name", sorted(KINDS))
@settings(max_examples=60, deadline=None)
@given(log=logs(), data=st.data())
def test_no_event_is_in_two_parts(name, log, data):
    split, segments = split_it(name, log, data)
    if segments is None:
        return
    trained, phases = parts(segments)
    owner = [u for u in range(len(log.offsets) - 1) for _ in range(*log.offsets[u : u + 2])]
    targets = {
        phase: set().union(*(found for _, found in rows.values())) for phase, rows in phases.items()
    }
    assert not trained & (targets["validation"] | targets["test"])
    assert not targets["validation"] & targets["test"]
    if log.is_target is not None:
        assert log.is_target[sorted(targets["validation"] | targets["test"])].all()
    for phase, rows in phases.items():
        assert segments.counts[f"{phase}_targets"] == len(targets[phase])
        users = [user for user, _ in rows]
        if split.config.target == "successive":
            in_turn = segments.counts[f"{phase}_targets"]
            assert len(rows) == in_turn or split.config.unit == "basket"  # a row each
        else:
            assert len(set(users)) == len(rows)  # a user has one row
        for (user, _), (history, found) in rows.items():
            assert history
            assert found
            assert {owner[p] for p in history | found} == {user}
            assert max(history) < min(found)
    assert not targets["test"] & set().union(*(read for read, _ in phases["validation"].values()))
    for (user, _), (history, found) in phases["validation"].items():
        for (other, _), (later, _) in phases["test"].items():
            assert other != user or history | found <= later
    everybody = {user for user, *_ in segments.train.tolist()}
    for phase in split.held_out_phases:
        assert not everybody & {user for user, _ in phases[phase]}
    if split.config.cold_items == "drop":
        known = {int(log.items[p]) for p in trained}
        assert all(int(log.items[p]) in known for p in targets["validation"] | targets["test"])


@settings(max_examples=100, deadline=None)
@given(log=logs(), data=st.data())
def test_time_separates_the_parts(log, data):
    split, segments = split_it("global_temporal", log, data)
    if segments is None:
        return
    trained, phases = parts(segments)
    times, cut = log.timestamps.tolist(), segments.counts["test_cut_time"]
    tests = [p for _, found in phases["test"].values() for p in found]
    assert max(times[p] for p in trained) < cut <= min(times[p] for p in tests)
    read = [p for history, found in phases["validation"].values() for p in history | found]
    assert max(times[p] for p in read) < cut
    if split.config.validation == "time":
        earlier = segments.counts["validation_cut_time"]
        found = [p for _, found in phases["validation"].values() for p in found]
        assert max(times[p] for p in trained) < earlier <= min(times[p] for p in found)
    # The cut by quantile: at most the share lies before it, and with its ties more.
    share = split.config.test_quantile * len(times)
    assert sum(t < cut for t in times) <= share + 1e-6
    assert sum(t <= cut for t in times) > share - 1e-6


@settings(max_examples=100, deadline=None)
@given(log=logs(), data=st.data())
def test_windows_separate_the_parts(log, data):
    split, segments = split_it("rolling", log, data)
    if segments is None:
        return
    trained, phases = parts(segments)
    times, window = log.timestamps.tolist(), split.windows(log)[1]
    assert window.test_end == max(times) + 1
    assert window.test_start == window.test_end - 7 * DAY
    assert max(times[p] for p in trained) < window.validation_start
    for phase, first, end in (
        ("validation", window.validation_start, window.test_start),
        ("test", window.test_start, window.test_end),
    ):
        for history, found in phases[phase].values():
            assert all(first <= times[p] < end for p in found)
            assert all(times[p] >= (window.train_start or 0) for p in history)


@pytest.mark.parametrize("name", sorted(KINDS))
@settings(max_examples=40, deadline=None)
@given(log=logs(), data=st.data())
def test_sessions_and_baskets_are_held_out_whole(name, log, data):
    split, segments = split_it(name, log, data)
    if segments is None or split.config.unit == "event":
        return
    trained, phases = parts(segments)
    number = np.searchsorted(log.sessions, np.arange(len(log.items)), side="right")
    for rows in phases.values():
        sets = [set(number[sorted(found)]) for _, found in rows.values()]
        assert not set(number[sorted(trained)]) & set().union(*sets)
        if split.config.unit == "basket":  # all of a basket at once
            assert sum(map(len, sets)) == len(set().union(*sets))
            assert split.config.target == "all" or all(len(part) == 1 for part in sets)


@settings(max_examples=60, deadline=None)
@given(log=logs(), data=st.data())
def test_successive_targets_are_all_events_in_turn(log, data):
    """As many rows as held-out events, each with everything before it."""
    name = data.draw(st.sampled_from(["global_temporal", "rolling", "last_n", "user_ratio"]))
    options = CHOICES[name][0] | {"cold_items": "keep"}
    if name in GLOBAL:
        options |= {"cold_users": "keep"}
    try:
        together = make(name, **options | {"target": "all"}).segments(log)
        segments = make(name, **options | {"target": "successive"}).segments(log)
    except UserError:
        return
    _, phases = parts(segments)
    _, whole = parts(together)
    for phase, rows in whole.items():
        in_turn = [
            (user, min(found), history) for (user, _), (history, found) in phases[phase].items()
        ]
        wanted = [
            (user, place, set(range(min(history), place)))
            for (user, _), (history, found) in rows.items()
            for place in sorted(found)
        ]
        # A user whose first held-out event has no history is found by the later ones alone.
        assert [row for row in in_turn if row[0] in {user for user, _ in rows}] == wanted
