"""The verdict on a candidate, from the values of the same users under both models.

Let m be the margin, and d_u = candidate_u - (1 - m) champion_u, so that a mean of d above 0 says
that the candidate loses less than the share m of the champion's mean. Two one-sided tests:

- *within* the margin is shown if mean d > 0 at the level. Over all users this is required: it is a
  test of non-inferiority, so a candidate that is worse by m or more is promoted with at most the
  probability ``level``. Between both, the users are too few to say; see `Rules.when_unsure`.
- *harm* beyond the margin is shown if mean d < 0 at the level. In the guarded slices this refuses,
  with Holm's correction over all of them, so an equal candidate is refused because of any slice
  with at most the probability ``level``. Most slices are too small to show the absence of harm.

An effect is shown if two tests agree, the larger p decides: the paired t-test of
`recsys_lab.comparison.paired_test` (with pseudo-users for hit metrics, as bootstrap percentiles are
too narrow for rare hits), and the paired bootstrap over users. The rates are measured by
`scripts/checks/simulate_gate.py`. Both models are single trainings: the verdict is about these two
models, not about their configs.

Shapes: U users, B resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from recsys_lab.comparison.bootstrap import resampled_means_of_few
from recsys_lab.comparison.paired_test import Paired
from recsys_lab.comparison.permutation_test import holm
from recsys_lab.deploy.promote.verdict import Check, Measured, Outcome, Rules, Values, Verdict
from recsys_lab.evaluation.intervals import TAIL
from recsys_lab.evaluation.student import quantile
from recsys_lab.pages.number_format import decimal, percent


def judge(measured: Measured, rules: Rules) -> Verdict:
    """Decide whether the candidate may replace the champion."""
    broken = _not_finite(measured)
    if broken:  # comparisons with NaN are false, so no test may see it
        return Verdict(False, broken)
    overall = _overall(measured, rules)
    checks = [overall, *_slices(measured, rules), *_bounds(measured, rules)]
    refusing = {"refused"} if rules.when_unsure == "promote" else {"refused", "unsure"}
    return Verdict(not any(check.outcome in refusing for check in checks), tuple(checks))


def judge_first(measured: Measured, rules: Rules) -> Verdict:
    """Decide whether a run may be the first champion; its opponent is popularity.

    Refused are values that are not finite, users without a list, and a run that is shown to be
    worse than popularity.
    """
    broken = _not_finite(measured)
    if broken:
        return Verdict(False, broken)
    few = _too_few(measured, rules)
    if few is not None:
        return Verdict(False, (few,))
    found = _evidence(measured.overall, measured.largest, replace(rules, margin=0.0))
    worse = found.p_harm <= rules.level
    told = "worse than" if worse else "not shown to be worse than"
    name, users = f"{measured.metric}, all users", len(measured.overall.candidate)
    reason = f"{name}: {_change(found)}, {told} popularity (p={found.p_harm:.2g})"
    outcome: Outcome = "refused" if worse else "passed"
    checks = (
        Check(
            name,
            outcome,
            reason,
            found.candidate,
            found.champion,
            users,
            low=found.low,
            high=found.high,
            p=found.p_harm,
        ),
        _empty_lists(replace(measured, empty=(measured.empty[0], 0))),
    )
    return Verdict(not any(check.outcome == "refused" for check in checks), checks)


def _not_finite(measured: Measured) -> tuple[Check, ...]:
    named = {f"{measured.metric}": measured.overall}
    named |= {f"{measured.metric} of {name}": values for name, values in measured.slices.items()}
    checks = []
    for name, values in named.items():
        for side in ("candidate", "champion"):
            wrong = int((~np.isfinite(getattr(values, side))).sum())
            if wrong:
                reason = f"{name}: the {side} has no finite value for {wrong:,} users"
                checks.append(Check(name, "refused", reason))
    for name, pair in (("coverage", measured.coverage), ("latency", measured.latency)):
        if pair is not None and not np.isfinite(pair).all():
            checks.append(Check(name, "refused", f"{name}: got {pair}, which are not both finite"))
    return tuple(checks)


@dataclass(frozen=True)
class _Evidence:
    """Both tests of one sample; bounds are of candidate - champion, the wider of both tests."""

    candidate: float
    champion: float
    low: float
    high: float
    p_within: float
    p_harm: float
    error: float


def _evidence(values: Values, largest: float | None, rules: Rules) -> _Evidence:
    kept = 1 - rules.margin
    values_U2 = np.stack([values.candidate, kept * values.champion], 1)
    means_B2 = resampled_means_of_few(values_U2, rules.resamples, rules.seed)
    paired = Paired(
        values_U2, [[0], [1]], means_B2, deterministic=[False, False], permutations=1,
        seed=rules.seed, largest=largest,
    )  # fmt: skip
    test = paired.test(0, 1)
    drawn_B = means_B2[:, 0] - means_B2[:, 1]
    one_sided = test.p / 2
    p_up = one_sided if test.difference.value > 0 else 1 - one_sided
    p_down = one_sided if test.difference.value < 0 else 1 - one_sided
    center = (test.difference.high + test.difference.low) / 2
    half = (test.difference.high - test.difference.low) / 2
    degrees = min(test.degrees_of_freedom, 1e7)
    error = half / quantile(TAIL, degrees)
    reach = error * quantile(2 * rules.level, degrees)
    champion = float(values.champion.mean())
    allowed = rules.margin * champion
    ends = np.quantile(drawn_B, [rules.level, 1 - rules.level])
    return _Evidence(
        candidate=float(values.candidate.mean()),
        champion=champion,
        low=min(center - reach, float(ends[0])) - allowed,
        high=max(center + reach, float(ends[1])) - allowed,
        p_within=max(p_up, (1 + int((drawn_B <= 0).sum())) / (1 + rules.resamples)),
        p_harm=max(p_down, (1 + int((drawn_B >= 0).sum())) / (1 + rules.resamples)),
        error=error,
    )


def _too_few(measured: Measured, rules: Rules) -> Check | None:
    users, name = len(measured.overall.candidate), f"{measured.metric}, all users"
    if users >= rules.min_users:
        return None
    reason = f"{name}: {users:,} users are fewer than min_users={rules.min_users}"
    return Check(name, "refused", reason, users=users)


def _overall(measured: Measured, rules: Rules) -> Check:
    values, name = measured.overall, f"{measured.metric}, all users"
    few = _too_few(measured, rules)
    if few is not None:
        return few
    users, found = len(values.candidate), _evidence(values, measured.largest, rules)
    change = _change(found)
    limit = f"the margin of {percent(rules.margin)}"
    if found.p_within <= rules.level:
        outcome: Outcome = "passed"
        reason = f"{name}: {change}, shown to be within {limit} (p={found.p_within:.2g})"
    elif found.p_harm <= rules.level:
        outcome = "refused"
        reason = f"{name}: {change}, a loss beyond {limit} (p={found.p_harm:.2g})"
    else:
        outcome = "unsure"
        reason = (
            f"{name}: {change}; {users:,} users are too few to say whether it is within {limit} "
            f"(p={found.p_within:.2g}){_power(found, users, rules)}"
        )
    return Check(
        name, outcome, reason, found.candidate, found.champion, users, found.low, found.high,
        found.p_within,
    )  # fmt: skip


def _power(found: _Evidence, users: int, rules: Rules) -> str:
    """How likely an equal candidate is to be shown within the margin, and with how many users."""
    effect, z = rules.margin * found.champion, quantile(2 * rules.level, 1e7)
    if not effect or not found.error:
        return ""
    chance = (1 + math.erf((effect / found.error - z) / math.sqrt(2))) / 2
    needed = users * ((z + 0.8416) * found.error / effect) ** 2  # 0.8416: 80% power
    return (
        f": an equal candidate would pass in {percent(round(chance, 3))} of cases, and in 80% with "
        f"about {round(needed, 1 - len(str(int(needed)))):,.0f} users; raise margin, or set "
        "when_unsure=promote"
    )


def _slices(measured: Measured, rules: Rules) -> list[Check]:
    found: dict[str, _Evidence] = {}
    small: list[Check] = []
    for name, values in measured.slices.items():
        users = len(values.candidate)
        if users < rules.min_users:
            reason = f"{name}: {users:,} users are too few to judge (min_users={rules.min_users})"
            small.append(Check(name, "too small", reason, users=users))
        else:
            found[name] = _evidence(values, measured.largest, rules)
    checks = []
    corrected = holm([of.p_harm for of in found.values()])
    for (name, of), p_holm in zip(found.items(), corrected, strict=True):
        harmed = p_holm <= rules.level
        text = f"{measured.metric} of {name}: {_change(of)}"
        told = "a loss beyond" if harmed else "no loss shown beyond"
        reason = f"{text}, {told} the margin of {percent(rules.margin)} (p={p_holm:.2g}, Holm)"
        outcome: Outcome = "refused" if harmed else "passed"
        users = len(measured.slices[name].candidate)
        checks.append(
            Check(
                name,
                outcome,
                reason,
                of.candidate,
                of.champion,
                users,
                low=of.low,
                high=of.high,
                p=of.p_harm,
                p_holm=p_holm,
            )
        )
    return checks + small


def _bounds(measured: Measured, rules: Rules) -> list[Check]:
    """Checks without a test: coverage, latency, empty lists."""
    checks = []
    if measured.coverage is not None and rules.coverage is not None:
        new, old = measured.coverage
        low = (1 - rules.coverage) * old
        text = f"{percent(new)} of the catalogue is listed, the champion lists {percent(old)}"
        reason = f"coverage: {text}; at least {percent(low)} is required"
        checks.append(
            Check("coverage", "passed" if new >= low else "refused", reason, new, old, low=low)
        )
    if measured.latency is not None and rules.latency is not None:
        new, old = measured.latency
        high = max(rules.latency * old, rules.latency_ms)
        reason = f"latency: {new:.3g} ms for a batch, the champion {old:.3g} ms; allowed {high:.3g}"
        checks.append(
            Check("latency", "passed" if new <= high else "refused", reason, new, old, high=high)
        )
    return [*checks, _empty_lists(measured)]


def _empty_lists(measured: Measured) -> Check:
    new, old = measured.empty
    reason = f"empty lists: {new:,} users, of the opponent {old:,}"
    return Check("empty lists", "refused" if new > old else "passed", reason, new, old)


def _change(found: _Evidence) -> str:
    text = f"{decimal(found.candidate)} against {decimal(found.champion)}"
    if found.champion:
        text += f" ({found.candidate / found.champion - 1:+.1%})"
    return text
