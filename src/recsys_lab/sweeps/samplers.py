"""Samplers and pruners by name."""

from __future__ import annotations

import warnings
import zlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

Sampler = Literal["tpe", "gp", "cmaes", "random", "grid", "qmc", "nsga2"]
"""``tpe``: tree of Parzen estimators (Bergstra et al., 2011); ``gp``: Gaussian process; ``cmaes``:
covariance matrix adaptation; ``random``; ``grid``: every point once, in random order; ``qmc``:
scrambled Sobol points; ``nsga2``: evolution towards a Pareto front (Deb et al., 2002)."""

Pruner = Literal["median", "asha", "hyperband", "patient", "none"]
"""``median``: worse than the median of earlier trials at the same epoch; ``asha``: asynchronous
successive halving (Li et al., 2020); ``hyperband`` (Li et al., 2018); ``patient``: median, after
three epochs without progress."""

CONSTRAINED = ("tpe", "gp", "nsga2")
"""Samplers that know of constraints."""

SINGLE = ("cmaes",)
"""Samplers for one objective only."""


def sampler_seed(name: Sampler, seed: int, worker: int) -> int:
    """The seed of one of several processes that share a study.

    Args:
        name: of the sampler.
        seed: of the sweep.
        worker: number of the process among all that worked on the study.
    """
    if name == "qmc":  # one sequence, of which each process takes the next point
        return seed
    return zlib.crc32(f"{seed} {worker}".encode())


def make_sampler(name: Sampler, seed: int) -> BaseSampler:
    """A sampler; ``grid`` draws at random here, since `Study` itself sees that nothing repeats.

    Args:
        name: which.
        seed: of its draws.
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            # Running trials count as bad ones, or parallel workers would try the same corner.
            return optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True, constant_liar=True
            )
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if name == "qmc":
            return optuna.samplers.QMCSampler(
                seed=seed, scramble=True, warn_independent_sampling=False,
                warn_asynchronous_seeding=False,
            )  # fmt: skip
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(name: Pruner) -> BasePruner:
    """A pruner, with Optuna's own settings but for those that say otherwise here."""
    import optuna

    pruners = optuna.pruners
    median = pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made: dict[str, BasePruner] = {
            "median": median,
            "asha": pruners.SuccessiveHalvingPruner(),
            "hyperband": pruners.HyperbandPruner(),
            "patient": pruners.PatientPruner(median, patience=3),
            "none": pruners.NopPruner(),
        }
    return made[name]
