"""Intervals of means over users against closed forms and simulation."""

import numpy as np
import pytest
import scipy.stats
from scripts.checks import simulate_comparison

from recsys_lab.evaluation.intervals import FEWEST_USERS, mean_interval, score_interval
from recsys_lab.evaluation.metrics.registry import largest_value


@pytest.mark.parametrize(("hits", "users"), [(0, 30), (1, 30), (7, 50), (100, 100), (31, 400)])
def test_of_hit_rate_it_is_wilsons(hits, users):
    values = np.zeros(users)
    values[:hits] = 1
    expected = scipy.stats.binomtest(hits, users).proportion_ci(0.95, method="wilson")
    assert mean_interval(values, 1.0) == pytest.approx((expected.low, expected.high), abs=1e-7)
    # Half as large values, half as large an interval.
    assert mean_interval(values / 2, 0.5) == pytest.approx(
        (expected.low / 2, expected.high / 2), abs=1e-7
    )


def test_of_other_metrics_it_is_students():
    values = np.random.default_rng(0).normal(3, 1, 40)
    error = scipy.stats.sem(values)
    expected = scipy.stats.t.interval(0.95, 39, values.mean(), error)
    assert mean_interval(values, None) == pytest.approx(expected)
    assert mean_interval(np.full(50, 0.25), None) == (0.25, 0.25)


def test_few_users_have_none():
    assert mean_interval(np.ones(FEWEST_USERS - 1), 1.0) is None
    assert mean_interval(np.ones(FEWEST_USERS), 1.0) is not None


def test_both_ends_are_as_far_as_allowed():
    """The ends solve the equation of the docstring."""
    for beside in (0.0, 0.001):
        for end in score_interval(0.1, 0.7, 50, 2.5, beside=beside):
            variance = beside + (0.7 * end - end**2) / 50
            assert (0.1 - end) ** 2 == pytest.approx(2.5**2 * variance)


@pytest.mark.parametrize(("users", "hits"), [(30, 0.02), (30, 0.3), (100, 0.05), (300, 0.02)])
def test_few_users_with_rare_hits_are_covered_nineteen_times_of_twenty(users, hits):
    """1,000 draws have a standard error of 0.7%."""
    assert 0.93 <= simulate_comparison.share_covered("ndcg", users, hits, 1000) <= 0.985


@pytest.mark.parametrize(("metric", "hits"), [("hr", 0.05), ("ndcg", 0.3)])
def test_one_run_each_of_equal_systems_differ_in_5_percent(metric, hits):
    assert simulate_comparison.share_found_of_users(metric, 100, hits, 600) <= 0.075


def test_the_largest_value_of_a_user():
    assert largest_value("ndcg@10", 3) == largest_value("map@5", 1) == 1.0
    assert largest_value("precision@10", 3) == 0.3
    assert largest_value("serendipity@10", 30) == 1.0
    assert largest_value("novelty@10", 1) is None
    assert largest_value("coverage@10", 1) is None
    assert largest_value("of_my_own", 1) is None
