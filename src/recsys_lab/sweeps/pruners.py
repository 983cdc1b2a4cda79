"""Pruners, which stop unpromising trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from recsys_lab.config import Choice, UserError
from recsys_lab.sweeps.samplers import experimental

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

AUTO = "auto"
PRUNERS = Choice(
    "pruner",
    "recsys_lab.sweeps",
    {
        "auto": "pruners.Auto",
        "median": "pruners.Median",
        "asha": "pruners.Asha",
        "hyperband": "pruners.Hyperband",
        "patient": "pruners.Patient",
        "none": "pruners.NoPruner",
    },
    base="pruners.PrunerFactory",
)


class PrunerFactory(ABC):
    """Makes the Optuna pruner of each process of a sweep; derive your own from it.

    Args:
        config: the options.

    Attributes:
        prunes: whether it may stop a trial, which needs a single objective that is computed at
            every validation.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    prunes: ClassVar[bool] = True

    def __init__(self, config: Any = None) -> None:
        self.config = config

    @abstractmethod
    def make(self) -> BasePruner:
        """Make the pruner."""


class _OfOptuna(PrunerFactory):
    """An Optuna pruner by its class name."""

    of: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def make(self) -> BasePruner:
        """See `PrunerFactory`."""
        from optuna import pruners

        pruner: BasePruner = getattr(pruners, self.of)(**self.options)
        return pruner


class Median(_OfOptuna):
    """Stops trials below the median of earlier trials at the same epoch."""

    of = "MedianPruner"
    options: ClassVar = {"n_startup_trials": 5, "n_warmup_steps": 1}


class Auto(Median):
    """`Median` for one objective that every validation computes, else `NoPruner`.

    `recsys_lab.sweeps.settings.Sweep` replaces it by the name of that one.
    """


class Asha(_OfOptuna):
    """Asynchronous successive halving (Li et al., 2020)."""

    of = "SuccessiveHalvingPruner"


class Hyperband(_OfOptuna):
    """Hyperband (Li et al., 2018)."""

    of = "HyperbandPruner"


class Patient(Median):
    """The median rule, after three epochs without improvement."""

    def make(self) -> BasePruner:
        """See `PrunerFactory`."""
        from optuna.pruners import PatientPruner

        return PatientPruner(super().make(), patience=3)


class NoPruner(_OfOptuna):
    """Never stops a trial."""

    prunes, of = False, "NopPruner"


def make_pruner(factory: PrunerFactory) -> BasePruner:
    """Make the pruner of a process.

    Raises:
        UserError: the factory does not return a pruner.
    """
    from optuna.pruners import BasePruner

    with experimental():
        pruner: Any = factory.make()
    if not isinstance(pruner, BasePruner):
        raise UserError(
            f"sweep.pruner: {type(factory).__name__}.make returned a {type(pruner).__name__}, "
            "expected an optuna.pruners.BasePruner"
        )
    return pruner
