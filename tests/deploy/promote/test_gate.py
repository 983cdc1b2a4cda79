"""The gate's verdict on per-user values."""

import numpy as np
import pytest
from scipy import stats
from scripts.checks.simulate_gate import Case, counted, verdicts

from recsys_lab.comparison.bootstrap import resampled_means, resampled_means_of_few
from recsys_lab.deploy.promote.gate import judge, judge_first
from recsys_lab.deploy.promote.verdict import Measured, Rules, Values

RULES = Rules(margin=0.1, resamples=500)


def hits(share, users=2000, seed=0):
    return (np.random.default_rng(seed).random(users) < share).astype(float)


def measured(candidate, champion, slices=None, **more):
    return Measured("hr@10", Values(candidate, champion), slices or {}, **more)


def outcomes(verdict):
    return {check.name: check.outcome for check in verdict.checks}


class TestOverall:
    def test_swapping_the_models_flips_the_verdict(self):
        good, bad = hits(0.4), hits(0.25, seed=1)
        up, down = judge(measured(good, bad), RULES), judge(measured(bad, good), RULES)
        assert up.passed
        assert not down.passed
        assert outcomes(down)["hr@10, all users"] == "refused"
        assert "0.2500" in down.reasons[0] or "a loss beyond the margin of 10.0%" in down.reasons[0]
        assert (up.checks[0].candidate, up.checks[0].champion) == (good.mean(), bad.mean())

    def test_equal_models_pass_only_with_enough_users(self):
        many, few = (judge(measured(hits(0.3, n), hits(0.3, n, 1)), RULES) for n in (60_000, 100))
        assert many.passed
        assert not few.passed
        assert outcomes(few)["hr@10, all users"] == "unsure"
        assert "100 users are too few" in few.reasons[0]
        assert "an equal candidate would pass in" in few.reasons[0]

    def test_when_unsure_promote(self):
        verdict = judge(
            measured(hits(0.3, 100), hits(0.3, 100, 1)),
            Rules(margin=0.1, resamples=500, when_unsure="promote"),
        )
        assert verdict.passed
        assert "too few" in verdict.reasons[0]

    def test_the_bounds_are_those_of_the_paired_t_test(self):
        rng = np.random.default_rng(0)
        champion = rng.normal(1.0, 0.2, 400)
        candidate = champion + rng.normal(-0.02, 0.1, 400)
        check = judge(measured(candidate, champion, largest=None), RULES).checks[0]
        contrast = candidate - 0.9 * champion
        test = stats.ttest_1samp(contrast, 0, alternative="greater")
        low = test.confidence_interval(0.95).low - 0.1 * champion.mean()
        assert check.low == pytest.approx(low, abs=2e-3)  # the wider of it and the bootstrap
        assert check.low <= low
        assert check.p >= test.pvalue
        assert check.outcome == "passed"

    def test_without_any_hit_nothing_is_shown(self):
        verdict = judge(measured(np.zeros(500), np.zeros(500)), RULES)
        assert outcomes(verdict)["hr@10, all users"] == "unsure"

    def test_fewer_users_than_the_least(self):
        verdict = judge(measured(np.ones(29), np.ones(29)), RULES)
        assert not verdict.passed
        assert "29 users are fewer than min_users=30" in verdict.reasons[0]


class TestNotFinite:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("side", ["candidate", "champion"])
    @pytest.mark.parametrize("where", ["overall", "slice"])
    @pytest.mark.parametrize("when", ["refuse", "promote"])
    def test_it_refuses_on_either_side_before_any_test(self, value, side, where, when):
        values = {"candidate": hits(0.9), "champion": hits(0.1)}
        broken = {**values, side: np.where(np.arange(2000) == 7, value, values[side])}
        parts = {"overall": values, "slice": values, where: broken}
        what = Measured(
            "hr@10",
            Values(**parts["overall"]),
            {"target_popularity=cold": Values(**parts["slice"])},
        )
        for judged in (judge, judge_first):
            verdict = judged(what, Rules(margin=0.1, when_unsure=when))
            assert not verdict.passed
            assert f"the {side} has no finite value for 1 users" in verdict.reasons[0]

    @pytest.mark.parametrize("pair", [(np.nan, 0.5), (0.5, np.nan)])
    @pytest.mark.parametrize("name", ["coverage", "latency"])
    def test_coverage_and_latency(self, name, pair):
        verdict = judge(measured(hits(0.9), hits(0.1), **{name: pair}), RULES)
        assert not verdict.passed
        assert verdict.reasons[0].startswith(name)


class TestSlices:
    def slices(self, harm):
        """A tenth of the users is the slice; harm is the share of its hits that are lost."""
        champion = hits(0.4, 20_000)
        candidate = champion.copy()
        candidate[:2000] *= hits(1 - harm, 2000, seed=3)
        parts = {
            "target_popularity=cold": Values(candidate[:2000], champion[:2000]),
            "history_length=1-4": Values(candidate[2000:], champion[2000:]),
        }
        return measured(candidate, champion, parts)

    def test_a_harm_in_one_slice_alone_refuses(self):
        verdict = judge(self.slices(0.5), RULES)
        assert outcomes(verdict)["hr@10, all users"] == "passed"
        assert [name for name, was in outcomes(verdict).items() if was == "refused"] == [
            "target_popularity=cold"
        ]
        assert not verdict.passed
        assert verdict.reasons[0].startswith("hr@10 of target_popularity=cold: ")

    def test_a_loss_within_the_margin_does_not(self):
        assert judge(self.slices(0.05), RULES).passed

    def test_small_slices_are_listed(self):
        what = measured(
            hits(0.5), hits(0.4, seed=1), {"user_country=x": Values(*2 * [hits(0, 29)])}
        )
        verdict = judge(what, RULES)
        assert verdict.passed
        assert outcomes(verdict)["user_country=x"] == "too small"

    def test_p_values_are_corrected_for_the_number_of_slices(self):
        champion, candidate = hits(0.4, 1000), hits(0.33, 1000, seed=1)
        one = judge(measured(champion, champion, {"a": Values(candidate, champion)}), RULES)
        equal = {f"b{number}": Values(champion, champion) for number in range(9)}
        ten = judge(
            measured(champion, champion, {"a": Values(candidate, champion), **equal}), RULES
        )
        first, tenth = (
            next(check for check in verdict.checks if check.name == "a") for verdict in (one, ten)
        )
        assert first.p == tenth.p == first.p_holm
        assert tenth.p_holm == pytest.approx(min(1, 10 * first.p))


class TestBounds:
    @pytest.mark.parametrize(
        ("more", "name", "outcome"),
        [
            ({"coverage": (0.45, 0.5)}, "coverage", "passed"),
            ({"coverage": (0.44, 0.5)}, "coverage", "refused"),
            ({"latency": (100.0, 50.0)}, "latency", "passed"),
            ({"latency": (101.0, 50.0)}, "latency", "refused"),
            ({"latency": (19.0, 0.1)}, "latency", "passed"),  # below the floor
            ({"empty": (3, 3)}, "empty lists", "passed"),
            ({"empty": (4, 3)}, "empty lists", "refused"),
        ],
    )
    def test_each(self, more, name, outcome):
        verdict = judge(measured(hits(0.5), hits(0.4, seed=1), **more), RULES)
        assert outcomes(verdict)[name] == outcome
        assert verdict.passed == (outcome == "passed")


class TestFirst:
    @pytest.mark.parametrize(
        ("share", "empty", "passed"),
        [(0.4, 0, True), (0.3, 0, True), (0.2, 0, False), (0.4, 1, False)],
    )
    def test_it_is_refused_if_worse_than_popularity_or_without_lists(self, share, empty, passed):
        verdict = judge_first(measured(hits(share), hits(0.3), empty=(empty, 9)), RULES)
        assert verdict.passed == passed


class TestRates:
    """With few draws; `scripts/checks/simulate_gate.py` has more."""

    def test_a_candidate_that_is_worse_by_the_margin(self):
        shares = counted(verdicts(Case(600, 0.3, 0.2, loss=0.2), 60, resamples=300))
        assert shares["promoted"] <= stats.binom.ppf(0.999, 60, 0.05) / 60

    def test_an_equal_candidate(self):
        shares = counted(verdicts(Case(4000, 0.3, 0.2), 60, resamples=300))
        assert shares["promoted"] >= stats.binom.ppf(0.001, 60, 0.9) / 60
        assert shares["slice"] <= stats.binom.ppf(0.999, 60, 0.05) / 60

    def test_a_harm_in_one_slice(self):
        case = Case(4000, 0.3, 0.3, 0.0, "history_length=1-4", 0.8)
        assert counted(verdicts(case, 20, resamples=300))["promoted"] == 0


class TestBootstrap:
    @pytest.mark.parametrize("values", [hits(0.3, 400), np.random.default_rng(1).random(400)])
    def test_equal_users_drawn_together_have_the_same_distribution(self, values):
        both = np.stack([values, 1 - values], 1)
        few, all_ = (
            draw(both, 4000, 5)[:, 0] for draw in (resampled_means_of_few, resampled_means)
        )
        assert few.mean() == pytest.approx(values.mean(), abs=0.002)
        assert few.std() == pytest.approx(all_.std(), rel=0.05)
        assert np.allclose(resampled_means_of_few(both, 10, 5).sum(1), 1)
