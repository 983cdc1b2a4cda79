"""What code must do so that it runs on any device, and the host does not wait for a GPU."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values of the host on a device; a copy to a GPU does not make the host wait."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def fetch(values_n: Tensor) -> list[int]:
    """Values of a device on the host, which waits for all work of the device.

    A training step never calls this, a ranking at most once for a block of users.
    """
    return [int(value) for value in values_n.tolist()]


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Autocast off for a type of device; some (meta) have none."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
