"""Optimizers, and the base class for your own."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from recsys_lab.config import Choice, UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer


OPTIMIZERS = Choice(
    "optimizer",
    "recsys_lab.training",
    {"adam": "optimizers.Adam", "adamw": "optimizers.AdamW"},
    base="optimizers.OptimizerFactory",
)
_OF_RECIPE = ("lr", "betas", "weight_decay")


class Rates(Protocol):
    """The options of a recipe that optimizers may read."""

    @property
    def learning_rate(self) -> float:
        """The peak."""
        ...

    @property
    def beta1(self) -> float:
        """Decay of the mean of gradients."""
        ...

    @property
    def beta2(self) -> float:
        """Decay of the mean of their squares."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of all weights."""
        ...


class HasRates(Protocol):
    """What an optimizer reads of a recipe."""

    @property
    def allows_fused(self) -> bool:
        """Whether one pass over memory may do a whole step."""
        ...

    @property
    def config(self) -> Rates:
        """Its options."""
        ...


class OptimizerFactory(ABC):
    """Makes the optimizer of a run; base class for your own.

    Exact resume needs an optimizer whose ``state_dict`` has everything that its next step depends
    on, as tensors, numbers and strings; `torch.optim.Optimizer` does this for ``self.state`` and
    ``param_groups``.

    Args:
        config: the options.

    Attributes:
        values_per_weight: numbers stored per trained weight, at least; for the memory estimate.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    values_per_weight: ClassVar[float] = 0

    def __init__(self, config: Any = None) -> None:
        self.config = config

    @abstractmethod
    def make(self, parameters: Sequence[nn.Parameter], recipe: HasRates) -> Optimizer:
        """The optimizer.

        Args:
            parameters: the trained parameters.
            recipe: ``recipe.config`` has ``learning_rate`` (the peak), ``beta1``, ``beta2`` and
                ``weight_decay``; options that are not read have no effect.
        """

    def make_sparse(self, tables: Sequence[nn.Parameter], recipe: HasRates) -> Optimizer:
        """The optimizer of item tables with sparse gradients (``sparse_embeddings``).

        Raises:
            UserError: not supported.
        """
        del tables, recipe
        raise UserError(
            f"recipe.sparse_embeddings: got true, but {type(self).__name__} has no make_sparse; "
            "use recipe.optimizer=adam, or recipe.sparse_embeddings=false"
        )


def decay_matrices_alone(optimizer: Optimizer, model: Any) -> None:
    """Move norms, biases, other vectors and embeddings into groups without weight decay.

    Args:
        optimizer: changed in place.
        model: the trained module whose weights it has.

    Raises:
        UserError: the optimizer's groups have no weight decay.
    """
    from torch import nn

    tables = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    for group in list(optimizer.param_groups):
        if "weight_decay" not in group:
            raise UserError(
                f"recipe.weight_decay_on=matrices: {type(optimizer).__name__} has no weight_decay "
                "in its parameter groups; use recipe.weight_decay_on=all"
            )
        weights = group["params"]
        spared = [weight for weight in weights if weight.ndim < 2 or id(weight) in tables]
        known = {id(weight) for weight in spared}
        group["params"] = [weight for weight in weights if id(weight) not in known]
        optimizer.add_param_group({**group, "params": spared, "weight_decay": 0.0})


class Adam(OptimizerFactory):
    """Adam (Kingma and Ba, 2015); fused where allowed (one pass over memory)."""

    values_per_weight = 2

    def _kind(self) -> type[Any]:
        from torch import optim

        return optim.Adam

    def make(self, parameters: Sequence[nn.Parameter], recipe: HasRates) -> Optimizer:
        """See `OptimizerFactory`."""
        config = recipe.config
        made: Optimizer = self._kind()(
            parameters,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=recipe.allows_fused,
        )
        return made

    def make_sparse(self, tables: Sequence[nn.Parameter], recipe: HasRates) -> Optimizer:
        """Lazy Adam: updates only rows with a gradient, including their moments."""
        from torch.optim import SparseAdam

        config = recipe.config
        return SparseAdam(list(tables), lr=config.learning_rate, betas=(config.beta1, config.beta2))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    def _kind(self) -> type[Any]:
        from torch import optim

        return optim.AdamW


class TorchOptimizer(OptimizerFactory):
    """Any optimizer of `torch.optim`, by class name.

    It gets the recipe's learning rate, weight decay and, if it has them, betas.

    Args:
        config: the options.

    Raises:
        UserError: torch has no such optimizer, or the optimizer has no such option.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `TorchOptimizer`.

        Attributes:
            name: name of the class, e.g. ``SGD``.
            options: its other options, e.g. ``{momentum: 0.9}``.
        """

        name: str
        options: dict[str, Any]

    def __init__(self, config: Config) -> None:
        from torch import optim

        # The others are for sparse gradients, or compute the loss several times per step.
        kinds = {
            name: kind
            for name, kind in vars(optim).items()
            if isinstance(kind, type) and "weight_decay" in inspect.signature(kind).parameters
        }
        if config.name not in kinds:
            raise UserError(
                f"recipe.optimizer.name: got {config.name!r}, not one of torch.optim's "
                f"{', '.join(sorted(kinds))}{did_you_mean(config.name, kinds)}"
            )
        self._kind = kinds[config.name]
        self._takes = set(inspect.signature(self._kind).parameters) - {"params"}
        wrong = sorted(set(config.options) - (self._takes - {*_OF_RECIPE}))
        if wrong:
            raise UserError(
                f"recipe.optimizer.options: {config.name} does not take {', '.join(wrong)} here; "
                f"its options: {', '.join(sorted(self._takes - {*_OF_RECIPE}))} (the recipe gives "
                f"{', '.join(_OF_RECIPE)})"
            )
        self.config = config

    def make(self, parameters: Sequence[nn.Parameter], recipe: HasRates) -> Optimizer:
        """See `OptimizerFactory`."""
        config = recipe.config
        values = (config.learning_rate, (config.beta1, config.beta2), config.weight_decay)
        given = {k: v for k, v in zip(_OF_RECIPE, values, strict=True) if k in self._takes}
        try:
            made: Optimizer = self._kind(parameters, **given, **self.config.options)
        except (TypeError, ValueError) as error:
            raise UserError(f"recipe.optimizer: {self.config.name}: {error}") from error
        return made
