"""Tests of the statistics against SciPy, closed forms, exact enumeration and simulation."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.comparison.bootstrap import resampled_means
from recsys_lab.comparison.paired_test import Paired
from recsys_lab.comparison.permutation_test import holm, seed_label_p, seed_sign_p, sign_flip_p
from recsys_lab.evaluation.student import quantile, two_sided_p


def paired(values_US, systems, resamples=200, deterministic=None):
    """With few resamples, where these do not matter."""
    means = resampled_means(values_US, resamples, seed=0)
    known = deterministic or [False] * len(systems)
    return Paired(values_US, systems, means, deterministic=known, permutations=500, seed=0)


@pytest.mark.parametrize("degrees", [1, 1.5, 2, 4, 30.3, 1000, 1e6])
def test_students_t_is_scipys(degrees):
    for t in (0.0, 0.01, 0.7, 2.0, 5.0, 40.0):
        expected = 2 * scipy.stats.t.sf(t, degrees)
        assert two_sided_p(t, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-12)
    for p in (0.5, 0.05, 0.001):
        assert quantile(p, degrees) == pytest.approx(scipy.stats.t.isf(p / 2, degrees), rel=1e-8)
    assert two_sided_p(np.inf, degrees) == 0


@pytest.mark.parametrize("t", [0.01, 0.7, 3.0, 40.0])
def test_students_t_of_one_and_two_degrees_by_hand(t):
    cauchy, of_two = 1 - 2 * np.arctan(t) / np.pi, 1 - t / np.sqrt(2 + t * t)
    for p, degrees in ((cauchy, 1), (of_two, 2)):
        assert two_sided_p(t, degrees) == pytest.approx(p, rel=1e-11)
        assert two_sided_p(-t, degrees) == two_sided_p(t, degrees)
        assert quantile(p, degrees) == pytest.approx(t, rel=1e-11)


def test_holm_by_hand():
    """0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1 raised to the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_sign_flips_agree_with_all_of_them():
    difference = np.array([0.5, 0.5, -0.2, 0.9, 0.0, 0.31, 0.5, -0.1, 0.7, 0.25])
    signs = np.array(list(itertools.product([-1, 1], repeat=len(difference))))
    exact = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).mean()
    found = sign_flip_p(difference, 40_000, seed=3)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000))


def test_sign_flips_are_never_zero_and_one_without_a_difference():
    assert sign_flip_p(np.ones(100), 999, seed=0) == pytest.approx(1 / 1000)
    assert sign_flip_p(np.zeros(5), 99, seed=0) == 1
    assert sign_flip_p(np.ones(100), 99, seed=0) == sign_flip_p(np.ones(100), 99, seed=0)


@pytest.mark.parametrize(("first", "second"), [(2, 2), (3, 3), (5, 5), (2, 4)])
def test_permuted_seed_labels_are_scipys(first, second):
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.1, 1, first), rng.normal(0, 1, second)
    exact = scipy.stats.permutation_test(
        (one, other), lambda x, y: abs(x.mean() - y.mean()), n_resamples=np.inf,
        alternative="greater", vectorized=False,
    ).pvalue  # fmt: skip
    assert seed_label_p(one, other) == pytest.approx(exact)


def test_permuted_seed_labels_of_many_seeds_are_drawn():
    far = seed_label_p(np.arange(10.0), np.arange(10.0) + 20)
    assert far == pytest.approx(1e-4)


def test_without_user_noise_it_is_a_t_test_on_seed_means():
    """MS = 1 in both, so var = 2/3 and df = (2/3)^2 / (2 (1/3)^2 / 2) = 4."""
    values = np.tile([1.0, 2, 3, 2, 3, 4], (50, 1))
    test = paired(values, [[0, 1, 2], [3, 4, 5]]).test(0, 1)
    assert test.degrees_of_freedom == pytest.approx(4)
    assert test.p == pytest.approx(2 * scipy.stats.t.sf(1 / np.sqrt(2 / 3), 4))
    half = scipy.stats.t.isf(0.025, 4) * np.sqrt(2 / 3)
    assert (test.difference.low, test.difference.high) == pytest.approx((-1 - half, -1 + half))
    assert test.difference.covers_seeds


def test_the_interval_of_a_mean_stays_where_means_can_be():
    values = np.array([[0.0, 0.0], [0.0, 0.5], [0.1, 1.0]])
    mean = paired(values, [[0, 1]]).mean(0)
    assert (mean.value, mean.low, mean.high) == (pytest.approx(1.6 / 6), 0, 1)


def test_with_equal_seeds_it_is_the_paired_t_test_over_users():
    rng = np.random.default_rng(0)
    one, other = rng.random(80), rng.random(80)
    values = np.stack([one, one, one, other, other], 1)
    test = paired(values, [[0, 1, 2], [3, 4]]).test(0, 1)
    expected = scipy.stats.ttest_rel(one, other)
    assert test.p == pytest.approx(expected.pvalue)
    assert test.degrees_of_freedom == pytest.approx(79)
    bounds = expected.confidence_interval(0.95)
    assert (test.difference.low, test.difference.high) == pytest.approx((bounds.low, bounds.high))


def test_a_lone_run_borrows_the_others_seed_variance():
    """MS = 1: var = 1 + 1/3 with 2 degrees of freedom."""
    values = np.tile([9.0, 1, 2, 3], (50, 1))
    test = paired(values, [[0], [1, 2, 3]]).test(0, 1)
    assert test.degrees_of_freedom == pytest.approx(2)
    assert test.p == pytest.approx(2 * scipy.stats.t.sf(7 / np.sqrt(4 / 3), 2))


@pytest.mark.parametrize("runs", [1, 4])
def test_a_deterministic_system_neither_lends_nor_borrows(runs):
    """MS = 1: var = 0 + 1/3 with 2 degrees of freedom, however often it was run."""
    values = np.tile([9.0] * runs + [1, 2, 3], (50, 1))
    systems = [range(runs), range(runs, runs + 3)]
    found = paired(values, systems, deterministic=[True, False])
    test = found.test(0, 1)
    assert test.degrees_of_freedom == pytest.approx(2)
    assert test.p == pytest.approx(2 * scipy.stats.t.sf(7 / np.sqrt(1 / 3), 2))
    assert test.difference.covers_seeds
    assert test.permutation_p == pytest.approx(1 / 501)  # of signs: all users differ by 7
    assert (found.mean(0).low, found.mean(0).high) == (9, 9)
    assert found.mean(0).covers_seeds


@pytest.mark.parametrize("known", [True, False])
def test_a_lone_run_against_a_deterministic_system_speaks_of_users_alone(known):
    rng = np.random.default_rng(3)
    fixed, lone = rng.random(200), rng.random(200) + 0.05
    values = np.stack([fixed, fixed, fixed, lone], 1)
    test = paired(values, [[0, 1, 2], [3]], deterministic=[known, False]).test(0, 1)
    alone = paired(np.stack([fixed, lone], 1), [[0], [1]]).test(0, 1)
    assert not test.difference.covers_seeds
    assert test.degrees_of_freedom == 199
    assert test.p == alone.p == pytest.approx(scipy.stats.ttest_rel(fixed, lone).pvalue)
    assert test.permutation_p == alone.permutation_p
    assert test.bootstrap == pytest.approx(alone.bootstrap)


def test_two_deterministic_systems_are_compared_over_users():
    one, other = np.random.default_rng(5).random((2, 60))
    values = np.stack([one, other], 1)
    test = paired(values, [[0], [1]], deterministic=[True, True]).test(0, 1)
    assert test.p == pytest.approx(scipy.stats.ttest_rel(one, other).pvalue)
    assert test.difference.covers_seeds


def test_one_run_each_speaks_of_users_alone():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(300, 2))
    values[:, 0] += 0.5
    test = paired(values, [[0], [1]], resamples=4000).test(0, 1)
    difference = values[:, 0] - values[:, 1]
    half = 1.96 * difference.std() / np.sqrt(300)
    assert not test.difference.covers_seeds
    assert test.bootstrap == pytest.approx(
        (difference.mean() - half, difference.mean() + half), abs=0.1 * half
    )
    exact = scipy.stats.ttest_rel(values[:, 0], values[:, 1])
    bounds = exact.confidence_interval(0.95)
    assert (test.difference.low, test.difference.high) == pytest.approx((bounds.low, bounds.high))
    assert test.p == pytest.approx(exact.pvalue)
    assert test.permutation_p == pytest.approx(1 / 501)
    assert test.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert (test.wins, test.losses) == ((difference > 0).sum(), (difference < 0).sum())


def test_hierarchical_bootstrap_has_the_spread_of_seeds():
    """All users alike: the difference of two means of 4 seeds has the variance MS/4 + MS/4."""
    rng = np.random.default_rng(2)
    seeds = rng.normal(size=8)
    values = np.tile(seeds, (20, 1))
    low, high = paired(values, [range(4), range(4, 8)], resamples=20_000).test(0, 1).bootstrap
    spread = np.sqrt(seeds[:4].var(ddof=1) / 4 + seeds[4:].var(ddof=1) / 4)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_resampled_means_have_the_spread_of_a_mean():
    values = np.random.default_rng(0).random((500, 3))
    means = resampled_means(values, 3000, seed=1)
    assert means.shape == (3000, 3)
    np.testing.assert_allclose(means.std(0), values.std(0) / np.sqrt(500), rtol=0.06)
    np.testing.assert_array_equal(means, resampled_means(values, 3000, seed=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 10_000))
def test_the_order_of_two_systems_only_turns_signs(first, second, seed):
    values = np.round(np.random.default_rng(seed).random((30, first + second)), 1)
    both = paired(values, [range(first), range(first, first + second)], resamples=50)
    one, other = both.test(0, 1), both.test(1, 0)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.p == pytest.approx(other.p, abs=1e-9)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.wins + one.ties + one.losses == 30
    assert 0 <= one.p <= 1
    assert one.difference.low <= one.difference.value <= one.difference.high


def test_equal_systems_do_not_differ():
    values = np.tile(np.random.default_rng(0).random((40, 1)), (1, 4))
    test = paired(values, [[0, 1], [2, 3]]).test(0, 1)
    assert (test.p, test.difference.low, test.difference.high) == (1, 0, 0)
    assert test.effect_size is None
    assert test.ties == 40


def test_what_a_seed_does_to_both_drops_out():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 5, 5)
    values = np.concatenate([seeds + 0.2, seeds]) + rng.normal(0, 0.01, 10)
    values = values + rng.normal(0, 0.01, (100, 10))
    assert matched(values, [range(5), range(5)]).p < 0.001
    assert matched(values, [range(5), range(1, 6)]).p > 0.5


def test_signs_of_matched_seeds_are_permuted():
    assert seed_sign_p(np.array([1.0, 2, 3])) == pytest.approx(2 / 8)
    assert seed_sign_p(np.array([1.0, -1])) == 1
    assert seed_sign_p(np.ones(20)) == pytest.approx(1 / 10_001)


@pytest.mark.parametrize("seed", range(20))
def test_interval_and_p_of_one_run_each_agree_for_few_users(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        chance = rng.uniform(0.02, 0.6, 2)
        values = (rng.random((30, 2)) < chance).astype(float)
        means = np.zeros((1, 2))
        test = Paired(
            values, [[0], [1]], means, deterministic=[False, False], permutations=1, seed=0,
            largest=1.0,
        ).test(0, 1)  # fmt: skip
        interval = test.difference
        assert (test.p <= 0.05) == (interval.low > 0 or interval.high < 0)
        assert interval.low < interval.value < interval.high or len(set(values.ravel())) == 1


def test_users_without_hits_leave_doubt():
    """Nobody hits under any run: 0 is likely, and so are a few percent."""
    for runs in (1, 3):
        systems = [range(runs), range(runs, 2 * runs)]
        found = Paired(
            np.zeros((40, 2 * runs)), systems, np.zeros((1, 2 * runs)),
            deterministic=[False, False], permutations=1, seed=0, largest=1.0,
        )  # fmt: skip
        mean = found.mean(0)
        assert (mean.value, mean.low) == (0, 0)
        assert mean.high == pytest.approx(1.96**2 / (40 + 1.96**2), rel=1e-4)
        test = found.test(0, 1)
        assert test.p == 1
        assert test.difference.low == -test.difference.high < -0.04


def matched(values, seeds, **options):
    runs = len(seeds[0])
    systems = [range(runs), range(runs, 2 * runs)]
    means = resampled_means(values, 4000, seed=0)
    return Paired(
        values, systems, means, deterministic=[False, False], permutations=500, seed=0,
        seeds=seeds, **options,
    ).test(0, 1)  # fmt: skip
