"""The best of the retrained configs, and how certain that choice is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial

DRAWS = 10_000
_SURE, _LIKELY = 0.95, 0.75
_ENOUGH = 5


@dataclass(frozen=True)
class RetrainedConfig:
    """A config of the search that was retrained with other seeds.

    Attributes:
        trial: number of its trial.
        params: its point.
        searched: the metric's validation value in the search, by which it was selected; None where
            the search did not keep it.
        seeds: of the runs.
        validation: the metric by run.
        test: likewise.
    """

    trial: int
    params: Mapping[str, Any]
    searched: float | None
    seeds: Sequence[int]
    validation: Sequence[float]
    test: Sequence[float]

    def summary(self) -> dict[str, Any]:
        """For ``sweep.json``: means, standard deviations (None for one run) and every run."""
        return {
            "trial": self.trial,
            "params": dict(self.params),
            "searched": self.searched,
            "validation": _spread(self.validation),
            "test": _spread(self.test),
            "runs": [
                {"seed": seed, "validation": validation, "test": test}
                for seed, validation, test in zip(
                    self.seeds, self.validation, self.test, strict=True
                )
            ],
        }


@dataclass(frozen=True)
class Winner:
    """The config with the best mean validation value; test values play no part.

    Attributes:
        trial: its number.
        share: of bootstrap draws over the seeds in which it remains the best on validation.
        configs: how many were compared.
        seeds: runs of each, at least.
        search_optimism: its validation value in the search less the mean of its new runs; None
            where the search did not keep it.
        test_optimism: the mean validation value of its new runs less their mean test value.
    """

    trial: int
    share: float
    configs: int
    seeds: int
    search_optimism: float | None
    test_optimism: float

    @property
    def sentence(self) -> str:
        """The winner and how certain it is, as one sentence."""
        gap = f"its test value lies {abs(self.test_optimism):.4f} " + (
            "below" if self.test_optimism >= 0 else "above"
        )
        if self.configs == 1:
            return (
                f"Trial {self.trial} is the only one that was retrained, so it was not compared "
                f"with others; {gap} its validation value."
            )
        if self.seeds == 1:
            return (
                f"Trial {self.trial} is the best of {self.configs}, but one seed cannot show how "
                f"sure that is; {gap} its validation value."
            )
        words = "sure" if self.share >= _SURE else "likely" if self.share >= _LIKELY else "unsure"
        # Resamples of few runs differ too little: their share is a hint and no more.
        words = "a hint at most" if self.seeds < _ENOUGH else words
        return (
            f"Trial {self.trial} is the best of {self.configs} by validation over {self.seeds} "
            f"seeds, which is {words}: it stays the best in {self.share:.0%} of resamples of the "
            f"seeds; {gap} its validation value."
        )


def pick_winner(configs: Sequence[RetrainedConfig], draws: int = DRAWS, seed: int = 0) -> Winner:
    """The config with the highest mean validation value.

    Seeds are drawn with replacement, independently for every config; configs that tie for the best
    of a draw share it equally.

    Args:
        configs: at least one, each with at least one run.
        draws: of the bootstrap.
        seed: of the draws.
    """
    means = [statistics.fmean(again.validation) for again in configs]
    best = int(np.argmax(means))
    rng = np.random.default_rng(seed)
    drawn_BC = np.stack(
        [rng.choice(np.asarray(a.validation), (draws, len(a.seeds))).mean(axis=1) for a in configs],
        axis=1,
    )
    best_BC = np.isclose(drawn_BC, drawn_BC.max(axis=1, keepdims=True), rtol=1e-12, atol=0.0)
    again = configs[best]
    return Winner(
        trial=again.trial,
        share=float((best_BC[:, best] / best_BC.sum(axis=1)).mean()),
        configs=len(configs),
        seeds=min(len(a.seeds) for a in configs),
        search_optimism=None if again.searched is None else again.searched - means[best],
        test_optimism=means[best] - statistics.fmean(again.test),
    )


def best_trials(study: OptunaStudy, n: int) -> list[FrozenTrial]:
    """The best finished trials that keep the constraints, or, of several objectives, of the front.

    Args:
        study: has the trials.
        n: at most so many.
    """
    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    if len(study.directions) > 1 and complete:
        front = {trial.number for trial in study.best_trials}
        complete = [trial for trial in complete if trial.number in front]
    kept = [trial for trial in complete if keeps_constraints(trial)]
    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    return sorted(kept, key=lambda trial: (sign * trial.values[0], trial.number))[:n]


def keeps_constraints(trial: FrozenTrial) -> bool:
    """Whether a finished trial satisfies all constraints."""
    return all(value <= 0 for value in (trial.constraints or {}).values())


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd}
