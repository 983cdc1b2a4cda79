"""The process's probabilities are right, and its draws follow them."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from recsys_lab.data.sources.synthetic.process import DAY, SHOP_OPENS, ShopProcess
from tests.support.shop import SMALL, make, prefixes


@pytest.fixture(scope="module")
def calibration():
    """Probabilities (B, V) and purchases (B,) of 20,000 histories, with scores to compare."""
    process, items, times, lengths = make(replace(SMALL, num_users=20_000))
    history, offsets, last_times, targets = prefixes(
        items, times, lengths, np.random.default_rng(0)
    )
    p_BV = process.next_item_probabilities(history, offsets, last_times)
    rank_BV = (-p_BV).argsort(1).argsort(1)
    scores = {
        "probability": p_BV,
        "log probability": np.log(np.maximum(p_BV, 1e-12)),
        "top 1": rank_BV < 1,
        "top 5": rank_BV < 5,
        "bottom half": rank_BV >= 20,
    }
    for lag in range(5):
        item_B = history[np.maximum(offsets[1:] - 1 - lag, offsets[:-1])]
        scores[f"item of lag {lag}"] = np.arange(40) == item_B[:, None]
        same = process.categories[None] == process.categories[item_B][:, None]
        scores[f"category of lag {lag}"] = same
    return p_BV, targets, scores


def slow_probabilities(process, history, now):
    """The module's description again, in plain Python, for one history."""
    num_items, num_categories = len(process.categories), len(process.base_shares)
    result = [0.0] * num_items
    taste = 1 - process.repeat_probability - process.complement_probability
    reach = min(len(history), len(process.lag_weights))
    for lag in range(reach):
        share = process.lag_weights[lag] / sum(process.lag_weights[:reach])
        result[history[-1 - lag]] += process.repeat_probability * share
    anchors = [(history[-1], 1.0)]
    if len(history) > 1:
        anchors = [(history[-1], 1 - process.previous_share), (history[-2], process.previous_share)]
    for anchor, share in anchors:
        for item, weight in zip(
            process.complements[anchor], process.complement_weights, strict=True
        ):
            mass = process.complement_probability * share * weight
            if process.arrivals[item] <= now:
                result[item] += mass
            else:
                taste += mass
    recent = [0.0] * num_categories
    for item in history:
        recent = [process.taste_decay * r for r in recent]
        recent[process.categories[item]] += 1 - process.taste_decay
    day = (now - SHOP_OPENS) // DAY % 365
    scores = [
        (process.base_shares[c] + process.taste_gain * recent[c]) * process.seasons[day, c]
        for c in range(num_categories)
    ]
    for c in range(num_categories):
        on_sale = [
            i for i in range(num_items) if process.categories[i] == c and process.arrivals[i] <= now
        ]
        total = sum(process.popularity[i] for i in on_sale)
        for i in on_sale:
            result[i] += taste * scores[c] / sum(scores) * process.popularity[i] / total
    return result


def test_probabilities_equal_the_plain_description():
    process, items, times, lengths = make(SMALL)
    history, offsets, last_times, _ = prefixes(items, times, lengths, np.random.default_rng(1))
    fast = process.next_item_probabilities(history, offsets, last_times)
    slow = [
        slow_probabilities(process, history[offsets[b] : offsets[b + 1]].tolist(), last_times[b])
        for b in range(len(lengths))
    ]
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)


def test_probabilities_of_a_shop_small_enough_for_pencil_and_paper():
    process = ShopProcess(
        item_ids=np.array([5, 6, 7]),
        categories=np.array([0, 0, 1]),
        arrivals=SHOP_OPENS + np.array([0, 100, 0]),
        popularity=np.array([3.0, 1.0, 2.0]),
        complements=np.array([[2], [2], [1]]),
        complement_weights=np.array([1.0]),
        base_shares=np.array([0.5, 0.5]),
        seasons=np.ones((365, 2)),
        lag_weights=np.array([1.0, 0.5]),
        repeat_probability=0.1,
        complement_probability=0.4,
        previous_share=0.25,
        taste_gain=1.0,
        taste_decay=0.5,
    )
    history, offsets = np.array([0, 2]), np.array([0, 2])
    # Recent shares: category 0 0.25, category 1 0.5; scores 0.75 and 1, of 1.75.
    early = process.next_item_probabilities(history, offsets, np.array([SHOP_OPENS + 99]))
    # Item 1 is not for sale: its 0.3 goes to taste, 0.5 + 0.3.
    expected = [0.1 / 3 + 0.8 * 0.75 / 1.75, 0, 0.1 * 2 / 3 + 0.1 + 0.8 / 1.75]
    np.testing.assert_allclose(early[0], expected, atol=1e-12)
    late = process.next_item_probabilities(history, offsets, np.array([SHOP_OPENS + 100]))
    from_taste = 0.5 * 0.75 / 1.75
    expected = [
        0.1 / 3 + from_taste * 3 / 4,
        0.3 + from_taste / 4,
        0.1 * 2 / 3 + 0.1 + 0.5 / 1.75,
    ]
    np.testing.assert_allclose(late[0], expected, atol=1e-12)


def test_probabilities_are_a_distribution(calibration):
    probabilities, _, _ = calibration
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)


def test_log_follows_the_probabilities(calibration):
    """For any score g(history, item): the mean of g(target) - E g is 0 within standard errors."""
    p_BV, target_B, scores = calibration
    rows = np.arange(len(target_B))
    for name, score_BV in scores.items():
        excess_B = score_BV[rows, target_B] - (p_BV * score_BV).sum(1)
        error = excess_B.std() / math.sqrt(len(excess_B))
        assert abs(excess_B.mean()) < 4 * error, name


def test_log_follows_the_probabilities_item_by_item(calibration):
    p_BV, target_B, _ = calibration
    counts_V = np.bincount(target_B, minlength=p_BV.shape[1])
    variance_V = (p_BV * (1 - p_BV)).sum(0)
    z_V = (counts_V - p_BV.sum(0)) / np.sqrt(variance_V)
    # About chi-square with V - 1 degrees of freedom: mean 39, standard deviation 8.8.
    assert 39 - 4 * 8.8 < (z_V**2).sum() < 39 + 4 * 8.8


def test_log_follows_the_probabilities_bin_by_bin(calibration):
    """Among pairs to which the process gives about p, a share p is bought."""
    p_BV, target_B, _ = calibration
    hit_BV = np.zeros(p_BV.shape)
    hit_BV[np.arange(len(target_B)), target_B] = 1
    edges = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 1]
    for low, high in itertools.pairwise(edges):
        inside = (p_BV >= low) & (p_BV < high)
        expected = p_BV[inside].sum()
        error = math.sqrt((p_BV[inside] * (1 - p_BV[inside])).sum())
        assert inside.any()
        assert abs(hit_BV[inside].sum() - expected) < 4 * error, (low, high)


def test_no_other_scorer_predicts_better(calibration):
    p_BV, target_B, _ = calibration
    rows = np.arange(len(target_B))
    shuffled = np.roll(p_BV, 1, axis=0)  # somebody else's probabilities
    for other_BV in (
        0.9 * p_BV + 0.1 / p_BV.shape[1],
        p_BV**0.8 / (p_BV**0.8).sum(1, keepdims=True),
        p_BV**1.25 / (p_BV**1.25).sum(1, keepdims=True),
        0.5 * p_BV + 0.5 * shuffled,
    ):
        gain_B = np.log(p_BV[rows, target_B]) - np.log(other_BV[rows, target_B])
        error = gain_B.std() / math.sqrt(len(gain_B))
        divergence = (
            p_BV * (np.log(np.maximum(p_BV, 1e-300)) - np.log(np.maximum(other_BV, 1e-300)))
        ).sum(1)
        assert gain_B.mean() > 4 * error
        assert abs(gain_B.mean() - divergence.mean()) < 4 * error


def test_without_structure_popularity_is_zipf():
    plain = replace(
        SMALL,
        num_users=40_000,
        initial_share=1.0,
        repeat_probability=0.0,
        complement_probability=0.0,
        taste_gain=0.0,
        season_strength=0.0,
        zipf_exponent=1.1,
    )
    _, items, _, _ = make(plain)
    counts = np.sort(np.bincount(items, minlength=40))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 41)), np.log(counts), 1)[0]
    assert slope == pytest.approx(-1.1, abs=0.02)


def test_first_events_follow_taste_at_their_own_time():
    config = replace(SMALL, num_users=60_000, mean_length=5.0, initial_share=1.0)
    process, items, times, lengths = make(config)
    first = np.cumsum(lengths) - lengths
    day = (times[first] - SHOP_OPENS) // DAY % 365
    shares = process.base_shares * process.seasons[day]
    shares /= shares.sum(1, keepdims=True)
    counts = np.bincount(process.categories[items[first]], minlength=4)
    error = np.sqrt((shares * (1 - shares)).sum(0))
    assert (np.abs(counts - shares.sum(0)) < 4 * error).all()


@pytest.mark.parametrize(
    "extreme",
    [
        {"num_users": 1},
        {"num_items": 2, "num_categories": 1, "num_complements": 1},
        {"num_categories": 40},
        {"initial_share": 0.0, "zipf_exponent": 2.0},
        {"repeat_probability": 1.0, "complement_probability": 0.0},
        {"repeat_probability": 0.0, "complement_probability": 1.0, "previous_share": 1.0},
        {"mean_length": 5.0, "days": 1, "taste_decay": 0.0, "season_strength": 10.0},
        {"repeat_window": 500},
    ],
)
def test_extreme_options_still_make_a_distribution(extreme):
    process, items, times, lengths = make(replace(SMALL, **extreme))
    assert (process.arrivals[items] <= times).all()
    history, offsets, last_times, targets = prefixes(
        items, times, lengths, np.random.default_rng(2)
    )
    p_BV = process.next_item_probabilities(history, offsets, last_times)
    np.testing.assert_allclose(p_BV.sum(1), 1, atol=1e-9)
    assert (p_BV[np.arange(len(targets)), targets] > 0).all()
