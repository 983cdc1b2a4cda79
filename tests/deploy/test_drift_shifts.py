"""Distances, bins and noise, against numbers computed by hand and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from recsys_lab.deploy.drift.noise import Tallies, judge, tally
from recsys_lab.deploy.drift.shifts import (
    BINS,
    TOP_PAIRS,
    frozen_edges,
    jensen_shannon,
    new_share,
    pair_divergence,
    popularity_groups,
    popularity_psi,
    psi,
)


def counts(*values):
    return np.array(values, dtype=float)


class TestJensenShannon:
    def test_disjoint_is_one_bit_and_identical_is_zero(self):
        assert jensen_shannon(counts(3, 5, 0, 0), counts(0, 0, 1, 9)) == 1.0
        assert jensen_shannon(counts(3, 5, 0), counts(3, 5, 0)) == 0.0
        assert jensen_shannon(counts(3, 5, 0), counts(6, 10, 0)) == 0.0

    def test_by_hand(self):
        # m = (3/4, 1/4): half of [log2(4/3)] and half of [1/2 log2(2/3) + 1/2 log2(2)]
        by_hand = 0.5 * math.log2(4 / 3) + 0.5 * (0.5 * math.log2(2 / 3) + 0.5)
        assert jensen_shannon(counts(4, 0), counts(2, 2)) == pytest.approx(by_hand, abs=1e-15)

    def test_it_is_the_square_of_scipys_distance_in_base_2(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            old, new = rng.integers(0, 5, (2, 40)).astype(float)
            expected = jensenshannon(old, new, base=2) ** 2
            assert jensen_shannon(old, new) == pytest.approx(expected, abs=1e-12)

    def test_nearly_equal_shares_are_not_nan_or_negative(self):
        old = np.full(1000, 1e7)
        assert 0 <= jensen_shannon(old, old + np.random.default_rng(0).integers(0, 2, 1000)) < 1e-12

    def test_it_is_undefined_without_counts(self):
        assert math.isnan(jensen_shannon(counts(0, 0), counts(1, 0)))


class TestPsi:
    def test_by_hand(self):
        # The shares are a half and a half of OLD, three quarters and a quarter of NEW.
        by_hand = 0.25 * math.log(1.5) - 0.25 * math.log(0.5)
        assert psi(counts(50, 50), counts(30, 10)) == pytest.approx(by_hand, abs=1e-15)

    def test_a_rare_share_is_not_overwritten(self):
        # One event of a million: a fixed 0.0001 for zeros would be a hundred times as much.
        many = 1_000_000
        old, new = counts(many - 1, 1), counts(many - 2, 2)
        first = (new[0] - old[0]) / many * math.log(new[0] / old[0])
        assert psi(old, new) == pytest.approx(first + 1e-6 * math.log(2), rel=1e-12)

    def test_zero_counts_as_half_an_event_of_the_larger_side_on_both(self):
        least = 0.5 / 200
        by_hand = (0.5 - 1) * math.log(0.5) + (0.5 - least) * math.log(0.5 / least)
        assert psi(counts(100, 0), counts(100, 100)) == pytest.approx(by_hand, abs=1e-12)
        assert psi(counts(100, 100), counts(100, 0)) == pytest.approx(by_hand, abs=1e-12)

    def test_values_that_neither_side_has_do_not_count(self):
        assert psi(counts(5, 0, 5, 0), counts(5, 0, 5, 0)) == 0.0


class TestGroups:
    def test_they_have_about_a_tenth_of_the_events_and_new_items_their_own(self):
        old = counts(10, 10, 20, 0, 60)
        # 60 is first (group 0), 20 after 60% (6), both 10s after 80% (8)
        assert popularity_groups(old).tolist() == [8, 8, 6, BINS, 0]

    def test_a_swap_within_a_group_is_no_shift_of_the_groups(self):
        assert popularity_psi(counts(10, 10, 80), counts(20, 0, 80)) == 0.0

    def test_new_items_count(self):
        assert popularity_psi(counts(50, 50, 0), counts(25, 25, 50)) > 1
        assert new_share(counts(50, 50, 0), counts(25, 25, 50)) == 0.5


def test_only_the_top_pairs_of_old_are_told_apart():
    old = np.r_[np.full(TOP_PAIRS, 5.0), np.ones(50)]
    rest = np.r_[np.full(TOP_PAIRS, 5.0), np.zeros(49), 50.0]
    assert pair_divergence(old, rest) == 0.0
    assert pair_divergence(old, np.r_[0.0, np.full(TOP_PAIRS - 1, 5.0), np.ones(50)]) > 0


class TestEdges:
    def test_they_are_the_deciles_of_old(self):
        assert frozen_edges(np.arange(1, 101)).tolist() == [10, 20, 30, 40, 50, 60, 70, 80, 90]

    def test_equal_values_share_a_bin_and_the_largest_is_no_edge(self):
        assert frozen_edges(np.array([5] * 70 + [6] * 20 + [9] * 10)).tolist() == [5, 6]
        assert frozen_edges(np.array([5, 5, 5])).tolist() == []

    def test_weights_are_repetitions(self):
        values, weights = np.array([3.0, 1.0, 2.0]), np.array([2, 5, 3])
        repeated = np.repeat(values, weights)
        assert frozen_edges(values, weights).tolist() == frozen_edges(repeated).tolist()


class TestNoise:
    def of_users(self, shares_new, users=200, seed=0, resamples=99):
        """Users of both logs with four events each, of three values."""
        rng = np.random.default_rng(seed)
        old = rng.choice(3, (users, 4), p=[0.5, 0.3, 0.2])
        new = rng.choice(3, (users, 4), p=shares_new)
        codes = np.concatenate([old, new]).ravel()
        table = tally(codes, np.repeat(np.arange(2 * users), 4), 3, 2 * users)
        in_new = np.arange(2 * users) >= users
        return judge([Tallies(table, {"js": jensen_shannon})], in_new, resamples, seed)["js"]

    def test_an_unshifted_value_is_not_far_beyond_and_a_shifted_one_is(self):
        assert self.of_users([0.5, 0.3, 0.2]).p > 0.01
        shifted = self.of_users([0.3, 0.3, 0.4])
        assert shifted.p == 0.01
        assert shifted.excess == shifted.value - shifted.noise > 0.01

    def test_p_is_at_most_its_level_as_often_as_it_says(self):
        ps = [self.of_users([0.5, 0.3, 0.2], 40, seed, 39).p for seed in range(100)]
        # 10% of 100 are 10, with a standard deviation of 3
        assert 1 <= sum(p <= 0.1 for p in ps) <= 20

    def test_a_user_is_the_unit_not_an_event(self):
        # Every user repeats one item 50 times: 10,000 events, but only 200 draws.
        rng = np.random.default_rng(0)
        codes = np.repeat(rng.choice(3, 400), 50)
        table = tally(codes, np.repeat(np.arange(400), 50), 3, 400)
        judged = judge([Tallies(table, {"js": jensen_shannon})], np.arange(400) >= 200, 99, 0)
        assert judged["js"].p > 0.01
        assert judged["js"].noise > 0.001  # of independent events it would be 0.0001

    def test_it_depends_on_the_seed_alone(self):
        assert self.of_users([0.4, 0.4, 0.2], seed=3) == self.of_users([0.4, 0.4, 0.2], seed=3)

    def test_equal_logs_have_p_one(self):
        table = tally(np.tile(np.arange(50) % 3, 2), np.arange(100), 3, 100)
        judged = judge([Tallies(table, {"js": jensen_shannon})], np.arange(100) >= 50, 99, 0)
        assert (judged["js"].value, judged["js"].excess) == (0.0, 0.0)
        assert judged["js"].p == 1.0

    def test_an_undefined_statistic_is_left_out(self):
        table = tally(np.zeros(3, int), np.arange(3), 2, 6)
        assert judge([Tallies(table, {"js": jensen_shannon})], np.arange(6) >= 3, 99, 0) == {}
