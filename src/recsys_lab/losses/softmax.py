"""Full softmax cross-entropy over the whole catalogue.

Shapes: N supervised positions, D width, V items.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch.nn import functional as F

from recsys_lab.config import UserError, first_line, install_hint
from recsys_lab.losses.fused_softmax import Blocking, FusedSoftmax
from recsys_lab.losses.precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)


class SoftmaxLoss:
    """Softmax cross-entropy over the whole catalogue.

    ``-log softmax(states @ table.T / temperature)[target]``, mean over the positions. The N x V
    logits are never in memory at once; value and gradients equal those of
    `torch.nn.functional.cross_entropy` to float tolerance. For SASRec see Klenitskiy and Vasilev,
    RecSys 2023, https://arxiv.org/abs/2309.07602; for the computation without all logits in
    memory, Wijmans et al., 2024, https://arxiv.org/abs/2411.09009.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `SoftmaxLoss`.

        Attributes:
            cosine: normalise states and item vectors to unit length.
            temperature: divides the logits.
            memory_mib: memory for one block of logits, in MiB.
            kernel: "blocks" computes blocks of logits, on any device; "liger" is liger-kernel's
                fused kernel, CUDA only, which needs a C compiler when it runs; "auto" is liger
                where it works, else blocks. The results are equal to float tolerance.
        """

        cosine: bool
        temperature: Annotated[float, Gt(0)]
        memory_mib: Annotated[int, Ge(1)]
        kernel: Literal["auto", "blocks", "liger"]

    def __init__(self, config: Config) -> None:
        self.config = config
        self._buffer: Tensor | None = None

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss.

        Args:
            states_ND: float (N, D), N at least 1.
            targets_N: item indices, int64 (N,).
            table_VD: item embeddings, float (V, D).

        Returns:
            A scalar of the states' type, at least float32.

        Raises:
            UserError: ``kernel=liger``, and it does not work here.
            ValueError: there are no positions, states and targets differ in number, or a target
                is out of range (checked on the CPU only: on a GPU it would need a sync).
        """
        self._check(states_ND, targets_N, table_VD)
        budget = self.config.memory_mib << 20
        on_cpu = states_ND.device.type == "cpu"
        with full_precision(states_ND, table_VD) as (states_ND, table_VD):
            if self.config.cosine:
                states_ND, table_VD = F.normalize(states_ND, dim=-1), F.normalize(table_VD, dim=-1)
            if self.config.temperature != 1:
                states_ND = states_ND / self.config.temperature
            if uses_liger(self.config.kernel, states_ND.device.type):
                return _liger_loss(states_ND, targets_N, table_VD)
            blocking = Blocking.choose(table_VD.shape[0], budget, on_cpu, states_ND.itemsize)
            rows = min(blocking.rows, states_ND.shape[0])
            buffer = self._reused(rows * table_VD.shape[0], states_ND)
            inputs = (states_ND, targets_N, table_VD, blocking, buffer)
            loss: Tensor = FusedSoftmax.apply(*inputs)  # type: ignore[no-untyped-call]
        return loss

    def check_device(self, device: str) -> None:
        """Check that the kernel runs on this type of device.

        Raises:
            UserError: ``kernel=liger``, and it does not work here.
        """
        if uses_liger(self.config.kernel, device) or device != "cuda":
            return
        if self.config.kernel == "auto":
            problem = why_not_liger(device)
            _log.warning("loss.kernel=auto: blocks instead of liger, as %s", problem)

    def resolved(self, device: str) -> dict[str, str]:
        """See `recsys_lab.contracts.ResolvesOptions`."""
        if self.config.kernel != "auto":
            return {}
        return {"loss.kernel": "liger" if uses_liger("auto", device) else "blocks"}

    def scores_in_memory(self, positions: int, num_items: int, device: str) -> int:
        """Number of scores in a block; see `recsys_lab.contracts.HoldsScores`."""
        if uses_liger(self.config.kernel, device):
            return 0  # liger-kernel's own blocks are small
        budget, on_cpu = self.config.memory_mib << 20, device == "cpu"
        return min(Blocking.choose(num_items, budget, on_cpu).rows, positions) * num_items

    def _reused(self, size: int, like: Tensor) -> Tensor:
        """One buffer for all steps: a new allocation costs a page fault per 4 KiB."""
        held = self._buffer
        fits = held is not None and held.dtype == like.dtype and held.device == like.device
        if held is None or not fits or held.shape[0] < size:
            self._buffer = held = like.new_empty(size)
        return held

    @staticmethod
    def _check(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> None:
        if states_ND.shape[0] != targets_N.shape[0]:
            msg = (
                f"softmax loss: got {states_ND.shape[0]} states and {targets_N.shape[0]} targets, "
                "expected one of each per supervised position"
            )
            raise ValueError(msg)
        if states_ND.shape[0] == 0:
            msg = "softmax loss: no supervised positions in this batch"
            raise ValueError(msg)
        if targets_N.device.type == "cpu":
            low, high = targets_N.aminmax()
            if low < 0 or high >= table_VD.shape[0]:
                msg = (
                    f"softmax loss: got targets from {int(low)} to {int(high)}, "
                    f"expected items from 0 to {table_VD.shape[0] - 1}"
                )
                raise ValueError(msg)


def uses_liger(kernel: str, device: str) -> bool:
    """Whether to use liger-kernel's fused kernel on this type of device.

    Raises:
        UserError: ``kernel`` is "liger", and it does not work here.
    """
    if kernel == "blocks":
        return False
    problem = why_not_liger(device)
    if kernel == "liger" and problem:
        raise UserError(f"loss.kernel: got liger, but {problem}; or use loss.kernel=auto")
    return problem is None


@cache
def why_not_liger(device: str) -> str | None:
    """Why liger-kernel does not work on a type of device, and the cure; None if it does."""
    if find_spec("liger_kernel") is None:
        return f"liger-kernel is not installed: {install_hint('gpu')}"
    if device != "cuda":
        return "there is no CUDA device; train on a GPU"
    try:
        _try_liger(device)
    except Exception as error:  # Triton has no common class for what it and the compiler raise
        return (
            f"Triton cannot compile it here ({first_line(error)}); install a C compiler (on Debian "
            "gcc and libc6-dev) and the headers of Python (python3-dev)"
        )
    return None


def _try_liger(device: str) -> None:
    """Compile and run the kernel once, on two positions of width 16 and 4 items."""
    states_ND, table_VD = torch.ones(2, 16, device=device), torch.ones(4, 16, device=device)
    states_ND.requires_grad_()
    targets_N = torch.zeros(2, dtype=torch.int64, device=device)
    with torch.enable_grad():
        _liger_loss(states_ND, targets_N, table_VD).backward()


def _liger_loss(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss: Tensor = LigerFusedLinearCrossEntropyLoss()(table_VD, states_ND, targets_N)
    return loss
