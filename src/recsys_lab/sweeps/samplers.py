"""Samplers, which propose the points of a search, and what one of your own has to be."""

from __future__ import annotations

import warnings
import zlib
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


class SamplerFactory:
    """Makes the Optuna sampler of each process of a sweep; derive your own from it.

    The sampler must propose from the study's trials and its seed alone: it is made anew in every
    process, and when a sweep is resumed.

    Args:
        config: the options.

    Attributes:
        knows_constraints: whether it heeds ``sweep.constraints``.
        several_objectives: whether it takes more than one objective.
        exhaustive: go through every point of a finite space instead of asking the sampler.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    knows_constraints: ClassVar[bool] = False
    several_objectives: ClassVar[bool] = True
    exhaustive: ClassVar[bool] = False

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def make(self, seed: int) -> BaseSampler:
        """The sampler.

        Args:
            seed: of its draws, another one in every process.
        """
        raise NotImplementedError

    def worker_seed(self, seed: int, worker: int) -> int:
        """The seed of one of several processes that share a study.

        Args:
            seed: of the sweep.
            worker: number of the process among all that worked on the study.
        """
        return zlib.crc32(f"{seed} {worker}".encode())


class _OfOptuna(SamplerFactory):
    """A sampler of Optuna by the name of its class."""

    of: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def make(self, seed: int) -> BaseSampler:
        """See `SamplerFactory`."""
        from optuna import samplers

        made: BaseSampler = getattr(samplers, self.of)(seed=seed, **self.options)
        return made


class Tpe(_OfOptuna):
    """Tree of Parzen estimators (Bergstra et al., 2011)."""

    knows_constraints, of = True, "TPESampler"
    # Running trials count as bad ones, or parallel workers would try the same corner.
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
    """Every point once, in random order; the study itself sees that none is repeated."""

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
        """The sweep's: one sequence, of which each process takes the next point."""
        del worker
        return seed


class Nsga2(_OfOptuna):
    """Evolution towards a Pareto front (Deb et al., 2002)."""

    knows_constraints, of = True, "NSGAIISampler"


def make_sampler(factory: SamplerFactory, seed: int) -> BaseSampler:
    """The sampler of a process.

    Raises:
        UserError: the factory makes something else.
    """
    from optuna.samplers import BaseSampler

    with experimental():
        made: Any = factory.make(seed)
    if not isinstance(made, BaseSampler):
        raise UserError(
            f"sweep.sampler: {type(factory).__name__}.make gave a {type(made).__name__}, not an "
            "optuna.samplers.BaseSampler"
        )
    return made


@contextmanager
def experimental() -> Iterator[None]:
    """Let Optuna's experimental parts be used without a warning."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
