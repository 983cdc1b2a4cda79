"""What of a recipe is tried before data are read: device, compiler, own optimizer and schedule."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from recsys_lab.config import UserError
from recsys_lab.config.targets import own_source_hash
from recsys_lab.training.numerics import fix_workspace, refuse_precision

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from recsys_lab.training.recipe import Recipe

_STEPS = 10
_COMPILERS = {"cpu": ("CXX", ("g++", "clang++")), "cuda": ("CC", ("gcc", "clang"))}


def try_out(recipe: Recipe) -> None:
    """Check the device, look for the compiler of ``compile``, try an own optimizer and schedule.

    Raises:
        UserError: the device cannot compute in the precision; there is no compiler; the optimizer's
            step does not call its closure once, or the schedule returns no factor.
    """
    refuse_precision(recipe)
    fix_workspace(recipe)
    if recipe.config.compile:
        _find_compiler(recipe.device())
    if own_source_hash(type(recipe.optimizer_factory)) is not None:
        _try_optimizer(recipe)
    if own_source_hash(type(recipe.schedule)) is not None:
        _try_schedule(recipe)


def compiler(device: str) -> tuple[str | None, str]:
    """The compiler that torch.compile starts: of Inductor on the CPU, of Triton on a GPU.

    Returns:
        The compiler, or None, and what was looked for.
    """
    variable, names = _COMPILERS[device]
    found = os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)
    if found is None and sys.platform == "win32":
        found = "of Visual Studio"  # torch finds it by itself
    return found, f"neither {' nor '.join(names)} (nor the variable {variable})"


def _find_compiler(device: str) -> None:
    found, wanted = compiler(device)
    if found is None:
        raise UserError(
            "recipe.compile: got true, but torch.compile needs a compiler when it runs, and there "
            f"is {wanted}; install one, or use recipe.compile=false"
        )


def _try_optimizer(recipe: Recipe) -> None:
    weight = nn.Parameter(torch.ones(2, 3))
    try:
        made = recipe.make_optimizer([weight])
    except UserError:
        raise
    except Exception:  # it may need other weights than this one
        return
    name = type(made).__name__
    try:
        inspect.signature(made.step).bind(closure=None)
    except TypeError:
        raise UserError(
            f"recipe.optimizer: {name}.step{inspect.signature(made.step)} must take the argument "
            "closure, a function that computes the loss and its gradients: step(self, closure=None)"
        ) from None
    calls = _calls(made, weight)
    if calls != 1:
        raise UserError(
            f"recipe.optimizer: {name}.step called its closure {calls} times, expected once: the "
            "closure computes the loss and its gradients, so begin step with loss = closure(), and "
            "return the loss"
        )


def _calls(made: Optimizer, weight: nn.Parameter) -> int:
    """How often a step calls its closure."""
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        weight.grad = torch.ones_like(weight)
        return torch.tensor(1.0)

    with torch.random.fork_rng(devices=[]):
        try:
            made.step(closure=closure)
        except Exception:  # it may need other weights than this one
            return 1
    return calls


def _try_schedule(recipe: Recipe) -> None:
    first = recipe.config.warmup_steps
    for step in (first, first + _STEPS):
        try:
            recipe.rate(step, first + _STEPS)
        except TypeError as error:
            raise UserError(
                f"recipe.schedule: {type(recipe.schedule).__name__}: {error}; expected "
                "factor(self, step, total), which returns a number"
            ) from error
