"""Full softmax cross-entropy over the whole catalogue.

Shapes: N supervised positions, D width, V items.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.losses.fused_softmax import Blocking, FusedSoftmax
from recsys_lab.losses.precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor


class SoftmaxLoss:
    """``-log softmax(states @ table.T / temperature)[target]``, mean over the positions.

    The N x V logits are never in memory together; value and gradients are those of
    `torch.nn.functional.cross_entropy` to float tolerance. For SASRec: Klenitskiy and Vasilev,
    RecSys 2023, https://arxiv.org/abs/2309.07602; without the logits in memory: Wijmans et al.,
    2024, https://arxiv.org/abs/2411.09009.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `SoftmaxLoss`.

        Attributes:
            cosine: scale states and item vectors to length one.
            temperature: divides the logits.
            memory_mib: for the block of logits that is worked on.
            kernel: work through blocks of logits (blocks), on any device; through liger-kernel's
                fused kernel (liger), on CUDA alone; or through the latter where it is installed
                and there is a device for it (auto). The result is the same.
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
            UserError: ``kernel=liger`` without liger-kernel or without CUDA.
            ValueError: there are no positions, states and targets differ in number, or a target
                is not an item (checked on the CPU only: a device would have to be waited for).
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
        """Refuse a kernel that this kind of device cannot run.

        Raises:
            UserError: ``kernel=liger`` without liger-kernel or without CUDA.
        """
        uses_liger(self.config.kernel, device)

    def _reused(self, size: int, like: Tensor) -> Tensor:
        """One buffer for all steps: allocating it anew costs a page fault per 4 KiB."""
        held = self._buffer
        fits = held is not None and held.dtype == like.dtype and held.device == like.device
        if held is None or not fits or held.shape[0] < size:
            self._buffer = held = like.new_empty(size)
        return held

    @staticmethod
    def _check(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> None:
        if states_ND.shape[0] != targets_N.shape[0]:
            msg = (
                f"softmax loss: {states_ND.shape[0]} states but {targets_N.shape[0]} targets; "
                "each supervised position needs one of each"
            )
            raise ValueError(msg)
        if states_ND.shape[0] == 0:
            msg = "softmax loss: no supervised positions in this batch"
            raise ValueError(msg)
        if targets_N.device.type == "cpu":
            low, high = targets_N.aminmax()
            if low < 0 or high >= table_VD.shape[0]:
                msg = (
                    f"softmax loss: targets from {int(low)} to {int(high)}; "
                    f"the table has items 0 to {table_VD.shape[0] - 1}"
                )
                raise ValueError(msg)


def uses_liger(kernel: str, device: str) -> bool:
    """Whether the fused kernel is to be used on this kind of device.

    Raises:
        UserError: it is asked for and cannot be.
    """
    installed = find_spec("liger_kernel") is not None
    if kernel == "liger" and not (installed and device == "cuda"):
        missing = "there is no CUDA device" if installed else "liger-kernel is not installed"
        raise UserError(
            f"loss.kernel: got liger, and {missing}; use loss.kernel=auto, or train on a GPU after "
            "pip install 'recsys-lab[gpu]'"
        )
    return kernel != "blocks" and installed and device == "cuda"


def _liger_loss(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss: Tensor = LigerFusedLinearCrossEntropyLoss()(table_VD, states_ND, targets_N)
    return loss
