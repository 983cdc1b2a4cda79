"""Full precision for losses, also when the model runs in half precision.

Shapes: N supervised positions, D width, V items.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from recsys_lab.contracts import without_autocast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@contextmanager
def full_precision(states_ND: Tensor, table_VD: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """States and table as float32 (float64 stays), with autocast off inside.

    Half precision has 8 or 11 bits: scores of different items tie, and the gradients of small
    probabilities are lost.
    """
    with without_autocast(states_ND.device.type):
        if states_ND.dtype in (torch.float16, torch.bfloat16):
            states_ND = states_ND.float()
        yield states_ND, table_VD.to(states_ND.dtype)
