"""Twins of users and items, and items in two spellings."""

from __future__ import annotations

from itertools import combinations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.data.leaks import twins
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits import ranges as places
from tests.data.splits.toys import log_of, make

DAY = 86_400


def found(log, split, **ids):
    world = World(log, split.segments(log), **ids)
    return {(leak.kind, leak.phase): leak for leak in twins.find(world)}


def person(user, length=4):
    """Items and times that no other has."""
    return [((user + 3 * step) % 11, 1000 * user + DAY * step) for step in range(length)]


def test_users_under_two_ids():
    # 0 and 6 are one person, 1 and 7 another; 2 to 5 are alone.
    log = log_of(*(person(user) for user in range(6)), person(0), person(1))
    leaks = found(log, make("leave_one_out"), user_ids=pa.array([f"u{u}" for u in range(8)]))
    leak = leaks["twin_users", "test"]
    assert (leak.count, leak.total, leak.severity) == (4, 8, "note")  # 4 may be chance
    assert "such as 'u0' and 'u6'" in leak.explanation
    assert "trained on" not in leak.explanation  # each target is the twin's target, too
    twice = log_of(*(person(user % 6) for user in range(12)))
    leak = found(twice, make("leave_one_out"))["twin_users", "test"]
    assert (leak.count, leak.total, leak.severity) == (12, 12, "warning")


def test_a_twin_that_is_trained_on():
    log = log_of(*(person(user % 20) for user in range(40)))
    split = make("unseen_users", validation_users=0.25, test_users=0.25)
    segments = split.segments(log)
    trained = {user % 20 for user in segments.train[:, 0].tolist()}
    for phase in ("validation", "test"):
        rows = getattr(segments, phase)
        bad = sum(user % 20 in trained for user in rows[:, 0].tolist())
        leak = found(log, split)["twin_users", phase]
        assert (leak.count, leak.severity) == (segments.counts[f"{phase}_targets"], "leak")
        assert f"; {bad} of these targets are trained on in the twin's history" in leak.explanation


@pytest.mark.parametrize(
    "sequence",
    [
        [(0, DAY), (1, 2 * DAY)],  # two events
        [(0, DAY), (1, DAY), (2, DAY), (3, 2 * DAY)],  # two baskets
    ],
)
def test_what_is_equal_by_chance(sequence):
    others = [person(user) for user in range(3)]
    assert not found(log_of(*[sequence] * 10, *others), make("leave_one_out"))
    later = [(item, time + user) for user in range(10) for item, time in [sequence[0]]]
    assert not found(log_of(*others, *[[event, *person(9)] for event in later]),
                     make("leave_one_out"))  # fmt: skip


def test_one_item_under_two_ids():
    # Everyone ends with item 20 and, at the same second, 21: users 0 to 5 in this order.
    log = log_of(*([*person(u), (20, 9 * DAY + u), (21, 9 * DAY + u)] for u in range(6)))
    leaks = found(log, make("leave_one_out"), item_ids=pa.array([f"i{i:02}" for i in range(22)]))
    leak = leaks["twin_items", "test"]
    assert (leak.count, leak.total, leak.severity) == (6, 6, "leak")
    assert "such as 'i20' and 'i21'" in leak.explanation
    assert ("twin_items", "validation") not in leaks  # 20 is looked for by what came before
    four = log_of(*([*person(u), (20, 9 * DAY + u), (21, 9 * DAY + u)] for u in range(4)))
    assert not found(four, make("leave_one_out"))  # four events may be a bundle
    apart = log_of(*([*person(u), (20, 9 * DAY + u), (21, 9 * DAY + u + 1)] for u in range(6)))
    assert not found(apart, make("leave_one_out"))


def test_items_in_two_spellings():
    # Item 11 + n is item n in capital letters; 5 of 8 users end with one they had.
    log = log_of(*([*person(u), (11 + (u if u < 5 else u + 1) % 11, 9 * DAY)] for u in range(8)))
    ids = pa.array([f"i{n}" for n in range(11)] + [f"I{n} " for n in range(log.num_items - 11)])
    leaks = found(log, make("leave_one_out"), item_ids=ids)
    leak = leaks["respelled_targets", "test"]
    assert (leak.count, leak.total, leak.severity) == (5, 8, "leak")
    assert "such as 'i0' and 'I0 '" in leak.explanation
    assert "data.id_normalization=[blanks,case,unicode,decimal,zeros]" in leak.cure
    assert not found(log, make("leave_one_out"), item_ids=pa.array(range(log.num_items)))


def test_the_cure_of_spellings_works(table, run):
    rows = ["user_id,item_id,timestamp"]
    for user in range(6):
        items = [f"i{(user + step) % 7}" for step in range(4)]
        rows += [
            f"{user},{item},{user + 10 * n}" for n, item in enumerate([*items, items[0].upper()])
        ]
    for spelling, kind in (([], "respelled_targets"), (["case"], "repeated_targets")):
        data = run(table("\n".join(rows), id_normalization=spelling))
        kinds = {leak["kind"]: leak["count"] for leak in data.manifest["leaks"]}
        assert kinds[kind] == 6
        assert ("respelled_targets" in kinds) == (not spelling)


def test_without_times_only_spellings_are_looked_at():
    log = log_of(*[[1, 2, 3, 4]] * 8)
    assert not found(log, make("leave_one_out"))


@pytest.mark.parametrize("chunk", [3, 2_000_000])
def test_groups_equal_brute_force(chunk, monkeypatch):
    monkeypatch.setattr(places.row_chunks, "__defaults__", (chunk,))
    monkeypatch.setattr(twins, "AT_ONCE", chunk)
    one_user = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=4)

    @settings(max_examples=60, deadline=None)
    @given(users=st.lists(one_user.map(lambda user: sorted(user, key=lambda event: event[1])),
                          min_size=3, max_size=14))  # fmt: skip
    def every(users):
        log = log_of(*users)
        try:
            leaks = found(log, make("leave_one_out"))
        except UserError:
            return
        same = {
            user
            for pair in combinations(range(len(users)), 2)
            for user in pair
            if sorted(users[pair[0]]) == sorted(users[pair[1]])
            and len({time for _, time in users[user]}) >= twins.USER_TIMES
        }
        leak = leaks.get(("twin_users", "test"))
        assert (leak.count if leak else 0) == len(same)

    every()
