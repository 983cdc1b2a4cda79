"""Next basket: all items of the next basket, judged as a set, against numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.splits.global_temporal import GlobalTemporal
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.evaluation.protocols.base import evaluate
from recsys_lab.evaluation.protocols.full_ranking import FullRanking
from recsys_lab.models.ranking import top_k

HOUR = 3600
BASKETS = {  # of every user the items of each basket, an hour apart; an item may come twice
    "a": [[0, 1], [1, 2], [0, 3], [2, 5, 5]],
    "b": [[4], [0, 4], [4, 5]],
    "c": [[2, 3], [3], [1], [0], [4, 0]],
}
KS = (1, 2, 4)


class Fixed:
    """Item 0 before item 1, and so on, for everybody."""

    def recommend(self, batch, k, exclude):
        return top_k(-torch.arange(6.0).repeat(batch.size, 1), k, exclude, batch.users_B)


@pytest.fixture
def log():
    rows = [
        f"{user},{item},{1_700_000_000 + HOUR * hour}"
        for user, baskets in BASKETS.items()
        for hour, basket in enumerate(baskets)
        for item in basket
    ]
    return "\n".join(["user_id,item_id,timestamp", *rows])


def judged(data, make, **options):
    protocol = make(
        FullRanking, "evaluation", "full_ranking", metrics=["recall", "hr", "ndcg", "precision"],
        ks=list(KS), max_k=6, beyond_accuracy=[], **options,
    )  # fmt: skip
    protocol.attach(data)
    seen = options["exclude_seen"]
    batches = EvaluationBatches(data, "test", batch_size=2, window=None, exclude_seen=seen)
    return evaluate(Fixed(), batches, protocol)


def by_formula(lists):
    """Metrics of (user, list, basket): means over the baskets of a user, then over users."""
    values = {}
    for user, shown, basket in lists:
        wanted = set(basket)
        for k in KS:
            gains = [item in wanted for item in shown[:k]]
            dcg = sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))
            ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
            for name, value in {
                "recall": sum(gains) / len(wanted), "hr": float(any(gains)),
                "precision": sum(gains) / k, "ndcg": dcg / ideal,
            }.items():  # fmt: skip
                values.setdefault(f"{name}@{k}", {}).setdefault(user, []).append(value)
    return {
        name: sum(sum(v) / len(v) for v in users.values()) / len(users)
        for name, users in values.items()
    }


@pytest.mark.parametrize("seen", [False, True])
def test_the_last_basket(table, run, make, log, seen):
    split = make(LeaveOneOut, "split", "leave_one_out", unit="basket")
    data = run(table(log), split=split, drop_duplicates=False)
    results = judged(data, make, exclude_seen=seen)
    found = results.compute()
    if not seen:
        # Lists are 0 1 2 3 4 5; baskets {2, 5}, {4, 5}, {4, 0}: item 5 twice counts once.
        assert found["recall@4"] == pytest.approx((1 / 2 + 0 + 1 / 2) / 3)
        assert found["hr@1"] == pytest.approx(1 / 3)
        assert found["ndcg@4"] == pytest.approx((0.5 + 1) / (1 + 1 / math.log2(3)) / 3)
        shown = {user: list(range(6)) for user in BASKETS}
    else:
        # Items bought before are not shown; those of the basket among them still count.
        shown = {"a": [4, 5], "b": [1, 2, 3, 5], "c": [4, 5]}
        assert found["recall@4"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 2) / 3)
    lists = [(user, shown[user], baskets[-1]) for user, baskets in BASKETS.items()]
    assert found == pytest.approx(by_formula(lists))
    rows = results.per_user()
    assert rows.select("user", "target").unique().height == 6
    repeated = {
        leak["phase"]: leak
        for leak in data.manifest["leaks"] if leak["kind"] == "repeated_targets"
    }  # fmt: skip
    # Of the last baskets the 2 of a, the 4 of b and the 0 of c were bought before.
    assert (repeated["test"]["count"], repeated["test"]["total"]) == (3, 7)


def test_every_basket_after_a_cut_in_turn(table, run, make, log):
    split = make(
        GlobalTemporal, "split", "global_temporal", unit="basket", target="successive",
        test_start="2023-11-15T00:13:20", test_quantile=None,  # hour 2
        validation_start="2023-11-14T23:13:20", validation_quantile=None,
    )  # fmt: skip
    data = run(table(log), split=split)
    assert len(data.segments("test")) == 2 + 1 + 3
    found = judged(data, make, exclude_seen=False).compute()
    lists = [
        (user, list(range(6)), basket)
        for user, baskets in BASKETS.items()
        for basket in baskets[2:]
    ]
    assert found == pytest.approx(by_formula(lists))
    # User c: baskets {1}, {0}, {0, 4}: 0, 1 and 1 hit at the first place.
    assert found["hr@1"] == pytest.approx(((1 + 0) / 2 + 0 + (0 + 1 + 1) / 3) / 3)
