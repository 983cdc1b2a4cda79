"""Candidates: all items, those that training knows, those that were there at the target's time."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.evaluation.protocols.base import evaluate, fingerprint
from recsys_lab.models.ranking import TIE_RULE, top_k
from tests.evaluation import test_candidates
from tests.evaluation.batches import users
from tests.evaluation.test_full_ranking import protocol

# First events of items 0 .. 5; training knows 0, 1, 2.
FIRST = np.array([10, 20, 30, 40, 50, 60])
COUNTS = np.array([3, 2, 1, 0, 0, 0])
# Targets: 3 of user 0 at 40, 2 and 5 of user 1 from 55 on.
SEGMENTS = np.array([[0, 0, 1, 2], [1, 2, 3, 5]])
ITEMS, TIMES = np.array([0, 3, 1, 2, 5]), np.array([10, 40, 20, 55, 60])


def data(**changes):
    values = {
        "num_items": 6, "num_users": 2, "items": ITEMS, "timestamps": TIMES,
        "segments": lambda _: SEGMENTS, "training_item_counts": lambda: COUNTS,
        "first_event_times": lambda: FIRST, "dropped_targets": np.empty(0, np.int64), **changes,
    }  # fmt: skip
    return SimpleNamespace(**values)


def batch(times=(40, 55)):
    made = users([[0], [1]], [[3], [2, 5]])
    return replace(made, target_times_B=torch.tensor(times))


class Highest:
    """The higher an item's number, the better."""

    def recommend(self, batch, k, exclude):
        return top_k(torch.arange(6.0).repeat(batch.size, 1), k, exclude, batch.users_B)


def lists(made, given=None):
    rows = evaluate(Highest(), [batch() if given is None else given], made).per_user()
    rows = rows.unique("user", keep="first", maintain_order=True)  # one for each target
    return [[item for item in items if item >= 0] for items in rows["items"].to_list()]


def attached(given=None, **options):
    made = protocol(max_k=6, **options)
    made.attach(given or data())
    return made


def test_each_choice_by_hand(caplog):
    with caplog.at_level(logging.WARNING):
        assert lists(attached()) == [[5, 4, 3, 2, 1], [5, 4, 3, 2, 0]]
        assert not caplog.records
        assert lists(attached(candidates="known")) == [[2, 1], [2, 0]]
        # 3 is first seen at 40, the moment of the target itself; 4 at 50, before user 1's target.
        assert lists(attached(candidates="released")) == [[3, 2, 1], [4, 3, 2, 0]]
        seen = attached(candidates="released", exclude_seen=False)
        assert lists(seen) == [[3, 2, 1, 0], [4, 3, 2, 1, 0]]
    # Of the targets 3, 2 and 5 training knows 2; 5 comes after user 1's first target.
    told = [record.getMessage() for record in caplog.records]
    assert [line.split("%")[0].rpartition(" ")[2] for line in told] == ["33.3"] * 2 + ["66.7"] * 4


def test_the_choice_is_in_the_fingerprint_and_all_is_as_ever():
    made = {choice: attached(candidates=choice) for choice in ("all", "known", "released")}
    column = data(item_times=lambda _: (FIRST - 1, np.ones(6, bool)))
    made["column"] = attached(column, candidates="released", release_column="since")
    fields = {name: one.fields(TIE_RULE) for name, one in made.items()}
    assert fields["all"] == {
        "candidates": "all items", "exclude_seen": True, "score_ties": TIE_RULE,
    }  # fmt: skip
    assert len({fingerprint(one) for one in fields.values()}) == 4


def test_a_release_column_goes_before_the_first_event(caplog):
    known = np.array([True, True, True, True, True, False])
    times = np.array([0, 0, 0, 41, 0, 0])  # 3 is said to come a second after its first event
    given = data(item_times=lambda _: (times, known))
    made = attached(given, candidates="released", release_column="since")
    assert lists(made) == [[4, 2, 1], [4, 3, 2, 0]]
    assert "1 of 6 items have no time and count from" in caplog.text
    assert "1 have a time later than their first event" in caplog.text


@pytest.mark.parametrize("choice", ["known", "released"])
def test_random_catalogues_by_plain_masks(choice):
    rng = np.random.default_rng(5)
    size, people = 50, 9
    first, counts = rng.integers(0, 20, size), rng.integers(0, 2, size)
    times = rng.integers(0, 20, people)
    made = users([[] for _ in range(people)], [[0]] * people)
    made = replace(made, target_times_B=torch.from_numpy(times))
    given = data(
        num_items=size, training_item_counts=lambda: counts, first_event_times=lambda: first
    )
    rows, items = attached(given, candidates=choice).exclude(made)
    found = np.zeros((people, size), bool)
    found[rows, items] = True
    assert len(rows) == found.sum()  # no pair twice
    expected = np.tile(counts == 0, (people, 1)) if choice == "known" else first > times[:, None]
    assert (found == expected).all()


def test_memory_of_the_pairs_is_counted():
    assert attached().batch_size(1 << 16) == 4
    assert attached(candidates="released").batch_size(1 << 16) < 1 << 20 >> 16


def test_a_sample_is_drawn_from_the_candidates(monkeypatch):
    counts = np.array([1, 1, 0] * 4)
    given = SimpleNamespace(**{**vars(test_candidates.data()), "timestamps": None})
    given.training_item_counts = lambda: counts
    monkeypatch.setattr(test_candidates, "data", lambda: given)
    made = test_candidates.sampled(num_candidates=12, candidates="known")
    [ranked] = test_candidates.shown(made, [users([[0, 1]], [[5]])]).values()
    # A target is a candidate also where training does not know it.
    assert ranked <= {5} | set(np.flatnonzero(counts))
    assert 5 in ranked
    assert made.candidates()["drawn_from"] == {"candidates": "known items"}
    assert "drawn_from" not in test_candidates.sampled().candidates()


def test_refused():
    with pytest.raises(UserError, match=r"release_column=since: has no effect without .*=released"):
        protocol(release_column="since")
    with pytest.raises(UserError, match=r"candidates=released: the data has no timestamps"):
        attached(data(timestamps=None), candidates="released")
