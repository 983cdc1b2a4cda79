"""How often the tests of a comparison are wrong, in simulated runs."""

import numpy as np
import pytest
import scipy.stats
from scripts.checks import simulate_comparison

from recsys_lab.comparison.paired_test import Paired
from tests.comparison.test_statistics import matched


def simulated(rng, users, seeds, lift=0.0):
    """Hits of two systems: easy and hard users, noise of training, a seed effect of 1%."""
    ease = rng.normal(-1.3, 1, (users, 1)) + rng.normal(0, 0.6, (users, 2 * seeds))
    hit = rng.random((users, 2 * seeds)) < 1 / (1 + np.exp(-ease))
    place = rng.integers(1, 11, (users, 1))
    of_seed = 1 + rng.normal(0, 0.01, 2 * seeds)
    of_seed[:seeds] *= 1 + lift
    return hit / np.log2(place + 1) * of_seed


def share_found(draws, users, seeds, lift=0.0):
    """Share of simulated comparisons with p <= 0.05."""
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(draws):
        values = simulated(rng, users, seeds, lift)
        systems = [range(seeds), range(seeds, 2 * seeds)]
        found += judged(values, systems, [False, False]).p <= 0.05
    return found / draws


def judged(values, systems, deterministic):
    """The test alone: nothing is resampled."""
    means = np.zeros((1, values.shape[1]))
    known = Paired(
        values, systems, means, deterministic=deterministic, permutations=300, seed=0
    )  # fmt: skip
    return known.test(0, 1)


def against_deterministic(draws, users, seeds, seed_sd, baseline_runs=1):
    """Tests of trained runs against a baseline without seeds, with equal means of both."""
    rng = np.random.default_rng(5)
    runs = [range(baseline_runs), range(baseline_runs, baseline_runs + seeds)]
    for _ in range(draws):
        ease = 1 / (1 + np.exp(-rng.normal(-1.3, 1, (users, 1))))
        hit = (rng.random((users, 1 + seeds)) < ease).astype(float)
        trained = hit[:, 1:] + rng.normal(0, seed_sd, seeds)
        values = np.concatenate([np.repeat(hit[:, :1], baseline_runs, 1), trained], 1)
        yield judged(values, runs, [baseline_runs == 1, False])


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_two_times_the_same_system_is_found_different_in_5_percent_at_most(seeds):
    assert 0.02 <= share_found(1000, 200, seeds) <= 0.065


@pytest.mark.parametrize(("users", "seed_sd"), [(200, 0.01), (500, 0.05), (200, 0.2)])
def test_a_deterministic_baseline_is_told_from_3_seeds_by_chance_in_5_percent(users, seed_sd):
    found = [test.p <= 0.05 for test in against_deterministic(1000, users, 3, seed_sd)]
    assert 0.03 <= np.mean(found) <= 0.07


def test_a_deterministic_baseline_says_nothing_of_the_seeds_of_a_lone_run():
    """Right for the two models (no seed effect: 5%), and no word of the systems in any case."""
    same = list(against_deterministic(400, 500, 1, 0, baseline_runs=3))
    assert 0.03 <= np.mean([test.p <= 0.05 for test in same]) <= 0.07
    other_seed = list(against_deterministic(20, 2000, 1, 0.05, baseline_runs=3))
    assert np.mean([test.p <= 0.05 for test in other_seed]) > 0.3  # why it must not speak of seeds
    assert not any(test.difference.covers_seeds for test in same + other_seed)


def test_over_users_alone_seeds_are_taken_for_systems():
    """Why one run each proves nothing of systems: far more than 5% with many users."""
    assert share_found(60, 30_000, 1) > 0.15
    assert share_found(60, 30_000, 3) <= 0.1


def test_a_difference_of_5_percent_is_found():
    assert share_found(20, 60_000, 3, lift=0.05) >= 0.85


@pytest.mark.parametrize("seeds", [(3, 3), (3, 5), (5, 5), (1, 3)])
@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_whatever_the_seeds_share_a_verdict_is_wrong_in_5_percent(seeds, share):
    """400 draws have a standard error of 1.1%."""
    assert simulate_comparison.share_found(share, seeds, draws=400) <= 0.08


def test_two_seeds_give_no_verdict():
    values = np.random.default_rng(0).random((50, 7))
    for runs, few in (((2, 2), True), ((2, 5), True), ((3, 3), False), ((1, 3), False)):
        systems = [range(runs[0]), range(runs[0], sum(runs))]
        assert judged(values, systems, [False, False]).few_seeds is few
    assert judged(values, [range(1), range(1, 3)], [True, False]).few_seeds
    twice = np.repeat(values[:, :1], 2, 1)  # equal seeds are one run
    beside = np.concatenate([twice, values], 1)
    assert not judged(beside, [range(2), range(2, 5)], [True, False]).few_seeds


@pytest.mark.parametrize("common", [0.0, 0.9])
@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_matched_seeds_give_a_wrong_verdict_in_5_percent(common, share):
    assert simulate_comparison.share_found(share, (3, 3), draws=400, common=common) <= 0.08


def test_matched_seeds_are_the_paired_t_test_of_seed_means():
    """All users alike, so seeds alone vary; runs stand in another order in the second system."""
    one, other = np.array([1.0, 2, 4, 8]), np.array([0.5, 1.7, 3.2, 7.6])
    values = np.tile([*one, *other[[2, 0, 3, 1]]], (50, 1))
    test = matched(values, [[0, 1, 2, 3], [2, 0, 3, 1]])
    expected = scipy.stats.ttest_rel(one, other)
    assert test.matched
    assert test.p == pytest.approx(expected.pvalue)
    bounds = expected.confidence_interval(0.95)
    assert (test.difference.low, test.difference.high) == pytest.approx((bounds.low, bounds.high))
    assert test.permutation_p == pytest.approx(2 / 2**4)  # all differences have one sign
    spread = (one - other).std(ddof=1) / np.sqrt(4)
    assert np.ptp(test.bootstrap) == pytest.approx(2 * 1.96 * spread, rel=0.15)
    unlike = matched(values, [[0, 1, 2, 3], [2, 0, 3, 9]])
    assert not unlike.matched
    assert unlike.p > 0.5  # seeds differ by far more than systems
