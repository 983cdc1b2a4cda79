"""What code must do so that it runs on any device, and the host does not wait for a GPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


def fetch_later(values_n: Tensor) -> Callable[[], list[float]]:
    """Begin to copy values to the host, and return what reads them there.

    Read after further steps, they have arrived, and nothing waits.
    """
    copy = values_n.to("cpu", non_blocking=True)
    if values_n.device.type != "cuda":
        return copy.tolist
    arrived = torch.cuda.Event()
    arrived.record()

    def read() -> list[float]:
        arrived.synchronize()
        return [float(value) for value in copy.tolist()]

    return read


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Products of float32 matrices on a GPU in TF32 for "high", exact for "highest".

    One of torch's several settings, which leaves the others readable and CPUs as they are.
    """
    setting = torch.backends.cuda.matmul
    before = setting.allow_tf32
    setting.allow_tf32 = name == "high"
    try:
        yield
    finally:
        setting.allow_tf32 = before


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Autocast off for a type of device; some (meta) have none."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
