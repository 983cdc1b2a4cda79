"""leave_one_out, last_n, user_ratio and unseen_users on logs that are split by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_lab.config import UserError
from tests.data.splits.toys import in_items, log_of, make


def test_leave_one_out_by_hand():
    log = log_of([1, 2, 3, 4], [5, 6], [7, 8, 9])
    segments = make("leave_one_out").segments(log)
    assert segments.train.tolist() == [[0, 0, 2], [1, 4, 6], [2, 6, 7]]
    assert segments.validation.tolist() == [[0, 0, 2, 3], [2, 6, 7, 8]]
    assert segments.test.tolist() == [[0, 0, 3, 4], [2, 6, 8, 9]]
    assert segments.counts == {
        "validation_users_without_history": 0,
        "test_users_without_history": 0,
        "events_unused": 0,
        "validation_targets": 2,
        "cold_validation_targets": 2,  # 3, 8
        "test_targets": 2,
        "cold_test_targets": 2,  # 4, 9
        "users_without_targets": 1,
    }


def test_last_n_by_hand():
    log = log_of([1, 2, 3, 4, 5], [6, 7, 8], [9, 8, 7, 6])
    found = in_items(log, make("last_n", validation_events=1, test_events=2).segments(log))
    assert found == {
        "train": {0: [1, 2], 1: [6, 7, 8], 2: [9]},
        "validation": {0: ([1, 2], [3]), 2: ([9], [8])},
        "test": {0: ([1, 2, 3], [4, 5]), 2: ([9, 8], [7, 6])},
    }


def test_last_n_with_one_each_is_leave_one_out():
    log = log_of([1, 2, 3, 4], [5, 6], [7, 8, 9])
    ours = make("last_n", validation_events=1, test_events=1).segments(log)
    theirs = make("leave_one_out").segments(log)
    for phase in ("train", "validation", "test"):
        assert getattr(ours, phase).tolist() == getattr(theirs, phase).tolist()
    assert ours.counts == theirs.counts


@pytest.mark.parametrize(
    ("events", "validation", "test", "parts"),
    [  # by hand: floor(ratio * n), at least one, training keeps one
        (1, 0.1, 0.1, (1, 0, 0)),
        (2, 0.1, 0.1, (1, 0, 1)),
        (3, 0.1, 0.1, (1, 1, 1)),
        (4, 0.1, 0.1, (2, 1, 1)),
        (19, 0.1, 0.1, (17, 1, 1)),
        (20, 0.1, 0.1, (16, 2, 2)),
        (30, 0.1, 0.1, (24, 3, 3)),
        (100, 0.29, 0.1, (61, 29, 10)),
        (2, 0.6, 0.3, (1, 1, 0)),
        (10, 0.5, 0.49, (1, 5, 4)),
        (7, 0.25, 0.5, (3, 1, 3)),
    ],
)
def test_user_ratio_by_hand(events, validation, test, parts):
    log = log_of(list(range(events)), list(range(10)))
    split = make("user_ratio", validation_ratio=validation, test_ratio=test)
    found = in_items(log, split.segments(log))
    a, b = parts[0], parts[0] + parts[1]
    want = list(range(events))
    assert found["train"][0] == want[:a]
    assert found["validation"].get(0) == ((want[:a], want[a:b]) if parts[1] else None)
    assert found["test"].get(0) == ((want[:b], want[b:]) if parts[2] else None)


def test_user_ratio_is_recboles_rule():
    def recbole(total, ratios):  # RecBole 1.2, Dataset._calcu_split_ids
        counts = [int(ratio * total) for ratio in ratios]
        counts[0] = total - sum(counts[1:])
        for i in range(1, len(ratios)):
            if counts[0] <= 1:
                break
            if 0 < ratios[-i] * total < 1:
                counts[-i] += 1
                counts[0] -= 1
        return counts

    lengths = list(range(1, 60))
    log = log_of(*(list(range(n)) for n in lengths))
    segments = make("user_ratio", validation_ratio=0.125, test_ratio=0.25).segments(log)
    got = np.zeros((len(lengths), 3), dtype=int)
    for column, phase in enumerate(("train", "validation", "test")):
        rows = getattr(segments, phase)
        got[rows[:, 0], column] = rows[:, -1] - rows[:, -2]
    assert got.tolist() == [recbole(n, (0.625, 0.125, 0.25)) for n in lengths]


def test_unseen_users_by_hand():
    log = log_of(*([10 * u, 10 * u + 1, 10 * u + 2] for u in range(8)), [1], [2, 3])
    split = make("unseen_users", validation_users=0.25, test_users=0.3, targets=2)
    found = in_items(log, split.segments(log))
    assert len(found["validation"]) == 2  # floor(0.25 * 8)
    assert len(found["test"]) == 2  # floor(0.3 * 8)
    held = {*found["validation"], *found["test"]}
    assert len(held) == 4
    assert held < set(range(8))  # users 8 and 9 have too few events to be held out
    assert set(found["train"]) == set(range(10)) - held
    assert found["train"][8] == [1]
    for phase in ("validation", "test"):
        for u, row in found[phase].items():
            assert row == ([10 * u], [10 * u + 1, 10 * u + 2])


def test_unseen_users_depend_on_the_seed_alone():
    log = log_of(*([1, 2, 3] for _ in range(60)))
    first = make("unseen_users", seed=1).segments(log)
    assert first.test.tolist() == make("unseen_users", seed=1).segments(log).test.tolist()
    chosen = [make("unseen_users", seed=s).segments(log).test[:, 0].tolist() for s in range(5)]
    assert len({tuple(users) for users in chosen}) == 5


@pytest.mark.parametrize("cold", ["keep", "report", "drop"])
def test_cold_targets(cold):
    # Trained: 1, 2, 3. User 0 is to find 3 (known), 8 (cold), 2 (known); user 1 only 9 (cold).
    log = log_of([1, 2, 2, 3, 8, 2], [1, 3, 2, 9, 9, 9])
    split = make("last_n", validation_events=1, test_events=3, cold_items=cold)
    segments = split.segments(log)
    found = in_items(log, segments)
    assert found["validation"] == {0: ([1, 2], [2]), 1: ([1, 3], [2])}
    if cold == "drop":
        assert found["test"] == {0: ([1, 2, 2], [3, 2])}
        assert segments.counts["dropped_cold_test_targets"] == 4
        assert segments.counts["test_targets"] == 2
        assert segments.dropped_targets.tolist() == [4]
    else:
        assert found["test"] == {0: ([1, 2, 2], [3, 8, 2]), 1: ([1, 3, 2], [9, 9, 9])}
        assert segments.counts["test_targets"] == 6
        assert segments.counts.get("cold_test_targets") == (4 if cold == "report" else None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("leave_one_out", {}, "split=leave_one_out: no validation target is left. Targets need "
         "users with 3 events; the longest history has 2"),
        ("last_n", {}, "need users with 11 events; the longest history has 2"),
        ("user_ratio", {}, "Targets need users with 3 events; the longest history has 2"),
        ("unseen_users", {"targets": 3}, "split=unseen_users: too few users can be held out. "
         "split.targets=3 needs users with as many events and an event before them, one user each "
         "for training, validation and test; 0 of 2 have them"),
        ("unseen_users", {}, "split=unseen_users: no event to train on is left"),
    ],
)  # fmt: skip
def test_nothing_left(name, options, message):
    with pytest.raises(UserError) as error:
        make(name, **options).segments(log_of([1, 2], [3, 4]))
    assert message in str(error.value)


def test_only_cold_targets():
    with pytest.raises(UserError) as error:
        make("leave_one_out", cold_items="drop").segments(log_of([1, 2, 3], [1, 2, 3]))
    assert "no validation target is left (2 cold targets were dropped)" in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("user_ratio", {"validation_ratio": 0.6, "test_ratio": 0.4},
         "split.validation_ratio=0.6 and split.test_ratio=0.4 leave nothing to train on: their "
         "sum must be below 1"),
        ("unseen_users", {"validation_users": 0.5, "test_users": 0.5},
         "split.validation_users=0.5 and split.test_users=0.5 leave no user to train on"),
    ],
)  # fmt: skip
def test_shares_beyond_one(name, options, message):
    with pytest.raises(UserError) as error:
        make(name, **options)
    assert message in str(error.value)


def test_settings_name_every_option():
    assert make("leave_one_out").settings() == {
        "name": "leave_one_out",
        "validation": "second last",
        "test": "last",
        "cold_items": "report",
    }
    by_position = {"target_events", "target", "unit"}
    later = {**dict.fromkeys(("last_n", "user_ratio", "unseen_users"), by_position)}
    later["rolling"] = {"target_events", "unit"}
    for name in later:
        split = make(name)
        options = vars(split.config)
        assert split.settings() == {
            "name": name,
            **{k: options[k] for k in options.keys() - later[name]},
        }
        # What came later is recorded where it is used: older fingerprints stay.
        other = make(name, target_events=["buy"])
        assert other.settings() == {**split.settings(), "target_events": ["buy"]}
