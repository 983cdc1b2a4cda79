"""Random: chance level in closed form, the hash against plain integers."""

import math

import numpy as np
import pytest
import torch

from tests.models.classical.logs import Log, batch_of, make

MASK = 2**64 - 1


def mix(x: int) -> int:
    """SplitMix64 in unbounded integers."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def test_the_reference_is_splitmix64():
    # First outputs of the published generator for seed 1234567.
    state, golden = 1234567, 0x9E3779B97F4A7C15
    assert [mix((state + i * golden) & MASK) for i in range(3)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


def test_scores_equal_the_hash_in_plain_integers():
    model = make("random", 7)
    seed = int(model.arrays()["seed"][0])
    lists = model.recommend(batch_of([[0], [1]], [4, 10**12]), 7, None)
    for row, user in enumerate([4, 10**12]):
        of_user = mix((user + mix(seed)) & MASK)
        expected = [
            (mix((of_user + i * 0x9E3779B97F4A7C15) & MASK) >> 40) / 2**24 for i in range(7)
        ]
        order = np.argsort(-np.asarray(expected)).tolist()
        assert lists.items_BK[row].tolist() == order
        assert lists.scores_BK[row].tolist() == [expected[i] for i in order]


def test_hit_rate_and_ndcg_are_chance():
    users, items = 20_000, 200
    lists = make("random", items).recommend(batch_of([[0]] * users), 10, None)
    targets = torch.randint(items, (users, 1), generator=torch.Generator().manual_seed(3))
    hits = (lists.items_BK == targets).double().numpy()
    sd = math.sqrt(0.05 * 0.95 / users)
    assert hits.sum(1).mean() == pytest.approx(10 / items, abs=4 * sd)
    ndcg = (hits / np.log2(np.arange(2, 12))).sum(1).mean()
    assert ndcg == pytest.approx((1 / np.log2(np.arange(2, 12))).sum() / items, abs=4 * sd)


def test_each_item_is_recommended_equally_often():
    lists = make("random", 50).recommend(batch_of([[0]] * 5000), 10, None)
    counts = np.bincount(lists.items_BK.flatten().numpy(), minlength=50)
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 49 + 5 * math.sqrt(2 * 49)


def test_another_seed_gives_other_lists():
    model = make("random", 50)
    torch.manual_seed(1)
    other = type(model)(model.config, num_items=50)
    model.fit(Log([[0]], 50))
    batch = batch_of([[0]])
    assert model.recommend(batch, 50, None).items_BK.tolist() != (
        other.recommend(batch, 50, None).items_BK.tolist()
    )
