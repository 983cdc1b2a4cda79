"""How a device computes: half precision, products of float32 matrices, deterministic kernels."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from recsys_lab.config import UserError
from recsys_lab.contracts.devices import matmul_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.training.recipe import Recipe

_WORKSPACE, _FIXED = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
"""Without a fixed workspace, cuBLAS may sum in another order."""
_MEMORY: Any = torch.utils.deterministic  # its attributes are properties of a module
_TF32 = 8  # compute capability, from which a GPU has TF32


def refuse_precision(recipe: Recipe) -> None:
    """Check that the device can compute in ``recipe.precision``.

    Raises:
        UserError: it cannot, or the asked GPU is not there.
    """
    if recipe.device() == "cuda" and recipe.trainer_precision() == "bf16-mixed":
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UserError(
                f"recipe.precision=bf16-mixed: {torch.cuda.get_device_name()} has no bfloat16; use "
                "16-mixed, 32 or auto"
            )
        return
    recipe.trainer_precision()


def fix_workspace(recipe: Recipe) -> None:
    """For ``recipe.deterministic``: cuBLAS reads its variable once, at its first product."""
    if recipe.config.deterministic:
        os.environ.setdefault(_WORKSPACE, _FIXED)


def effective_matmul_precision(recipe: Recipe) -> str:
    """``recipe.matmul_precision`` as the device computes: "highest", or "high", which is TF32.

    torch has no faster kernels for "medium" on a GPU, where it is "high". A CPU is left at
    "highest", because "medium" would be bfloat16 on some processors only.
    """
    on_gpu = recipe.device() == "cuda" and torch.cuda.get_device_capability()[0] >= _TF32
    return "high" if on_gpu and recipe.config.matmul_precision != "highest" else "highest"


@contextmanager
def numerics(recipe: Recipe) -> Iterator[None]:
    """The settings of torch for a training; those before are restored.

    Deterministic kernels do not fill new memory: that costs time, and hides reads of memory that
    was never written.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = _MEMORY.fill_uninitialized_memory
    fix_workspace(recipe)
    try:
        if recipe.config.deterministic:
            torch.use_deterministic_algorithms(True)
            _MEMORY.fill_uninitialized_memory = False
        with matmul_precision(effective_matmul_precision(recipe)):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        _MEMORY.fill_uninitialized_memory = filled


def in_effect(recipe: Recipe) -> dict[str, Any]:
    """What is in effect, for the run record."""
    fixed = recipe.config.deterministic
    return {
        "precision": str(recipe.trainer_precision()),
        "matmul_precision": effective_matmul_precision(recipe),
        "deterministic": fixed,
        "fill_uninitialized_memory": False if fixed else None,
        "cublas_workspace": os.environ.get(_WORKSPACE) if recipe.device() == "cuda" else None,
    }
