"""Samplers, which propose the points of a search."""

from __future__ import annotations

import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from recsys_lab.config import Choice, UserError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SAMPLERS = Choice(
    "sampler",
    "recsys_lab.sweeps",
    {
        "tpe": "samplers.Tpe",
        "gp": "samplers.GaussianProcess",
        "cmaes": "samplers.CmaEs",
        "random": "samplers.Random",
        "grid": "samplers.Grid",
        "qmc": "samplers.Qmc",
        "nsga2": "samplers.Nsga2",
    },
    base="samplers.SamplerFactory",
)


class SamplerFactory(ABC):
    """Makes the Optuna sampler of each process of a sweep; derive your own from it.

    The proposals must only depend on the study's trials and the seed: every process, and every
    resumed sweep, makes a new sampler.

    Args:
        config: the options.

    Attributes:
        knows_constraints: whether it supports ``sweep.constraints``.
        several_objectives: whether it supports several objectives.
        exhaustive: enumerate a finite space instead of asking the sampler.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    knows_constraints: ClassVar[bool] = False
    several_objectives: ClassVar[bool] = True
    exhaustive: ClassVar[bool] = False

    def __init__(self, config: Any = None) -> None:
        self.config = config

    @abstractmethod
    def make(self, seed: int) -> BaseSampler:
        """Make the sampler.

        Args:
            seed: of its draws; differs between processes.
        """

    def worker_seed(self, seed: int, worker: int) -> int:
        """The seed of a process.

        Args:
            seed: of the sweep.
            worker: number of the process among all processes of the study.
        """
        return zlib.crc32(f"{seed} {worker}".encode())


class _OfOptuna(SamplerFactory):
    """An Optuna sampler by its class name."""

    of: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def make(self, seed: int) -> BaseSampler:
        """See `SamplerFactory`."""
        from optuna import samplers

        sampler: BaseSampler = getattr(samplers, self.of)(seed=seed, **self.options)
        return sampler


class Tpe(_OfOptuna):
    """Tree of Parzen estimators (Bergstra et al., 2011)."""

    knows_constraints, of = True, "TPESampler"
    # constant_liar: running trials count as bad, so that workers do not try similar points.
    options: ClassVar = {"multivariate": True, "group": True, "constant_liar": True}


class GaussianProcess(_OfOptuna):
    """Gaussian process with expected improvement."""

    knows_constraints, of = True, "GPSampler"


class CmaEs(_OfOptuna):
    """Covariance matrix adaptation (Hansen, 2016)."""

    several_objectives, of = False, "CmaEsSampler"
    options: ClassVar = {"warn_independent_sampling": False}


class Random(_OfOptuna):
    """Uniform draws."""

    of = "RandomSampler"


class Grid(Random):
    """Every point once, in random order."""

    exhaustive = True


class Qmc(_OfOptuna):
    """Scrambled Sobol points."""

    of = "QMCSampler"
    options: ClassVar = {
        "scramble": True,
        "warn_independent_sampling": False,
        "warn_asynchronous_seeding": False,
    }

    def worker_seed(self, seed: int, worker: int) -> int:
        """The seed of the sweep, so that all processes share one sequence."""
        del worker
        return seed


class Nsga2(_OfOptuna):
    """Evolution towards a Pareto front (Deb et al., 2002)."""

    knows_constraints, of = True, "NSGAIISampler"


def make_sampler(factory: SamplerFactory, seed: int) -> BaseSampler:
    """Make the sampler of a process.

    Raises:
        UserError: the factory does not return a sampler.
    """
    from optuna.samplers import BaseSampler

    with experimental():
        sampler: Any = factory.make(seed)
    if not isinstance(sampler, BaseSampler):
        raise UserError(
            f"sweep.sampler: {type(factory).__name__}.make returned a {type(sampler).__name__}, "
            "expected an optuna.samplers.BaseSampler"
        )
    return sampler


@contextmanager
def experimental() -> Iterator[None]:
    """Suppress Optuna's warnings about experimental features."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
