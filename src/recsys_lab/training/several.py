"""The supervised positions of a batch that several processes read together.

The gradient of a step is that of the mean over the positions of all processes: each weights its
mean loss by its number of positions.

Shapes: N positions of this process, M of all processes, D width.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from recsys_lab.contracts.processes import among_targets, exchanged, joined, shard, summed
from recsys_lab.models.sequential.layers import rows_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor

    from recsys_lab.contracts import Batch


@dataclass(frozen=True)
class Positions:
    """The number of positions in each process.

    Attributes:
        own: of this process.
        total: M.
        world: number of processes.
        targets_M: targets of all processes; None in one process, and for a model that makes its own
            loss.
        rows: positions of this process among them.
    """

    own: int
    total: int
    world: int = 1
    targets_M: Tensor | None = None
    rows: slice = field(default_factory=lambda: slice(None))

    @classmethod
    def counted(cls, batch: Batch, own: int) -> Positions:
        """Positions of which only the number is known.

        Args:
            batch: of this process.
            own: its number of positions.
        """
        if batch.share is None:
            return cls(own, own)
        own = 0 if batch.share.is_lent else own
        counts = [count for (count,) in exchanged(own)]
        return cls(own, sum(counts), len(counts))

    @classmethod
    def of(
        cls, batch: Batch, states_ND: Tensor, targets_N: Tensor, keep_N: Tensor | None
    ) -> tuple[Positions, Tensor, Tensor]:
        """The positions, and the states and targets to compute the loss of.

        A process without positions computes the loss of its first state, with weight 0: all take
        part in the draws of negatives and in the exchange of gradients.

        Args:
            batch: of this process.
            states_ND: its states that predict.
            targets_N: their targets.
            keep_N: indices of the supervised ones, ascending; None: all.
        """
        first = states_ND[:1], targets_N[:1]
        if keep_N is not None:
            states_ND, targets_N = rows_at(states_ND, keep_N), targets_N[keep_N]
        own = len(targets_N)
        if batch.share is None:
            return cls(own, own), states_ND, targets_N
        own = 0 if batch.share.is_lent else own
        counts = [count for (count,) in exchanged(own)]
        if not own and any(counts):
            states_ND, targets_N = first
        targets_M = joined(targets_N, counts)
        before = sum(counts[: shard()[0]])
        rows = slice(before, before + own) if own else slice(0, 1)
        return cls(own, sum(counts), len(counts), targets_M, rows), states_ND, targets_N

    @property
    def weight(self) -> float:
        """Factor of this process's loss: its positions; the processes average their gradients."""
        return self.own * self.world

    def known(self) -> AbstractContextManager[None]:
        """In the body, the loss knows the targets of all processes."""
        if self.targets_M is None:
            return nullcontext()
        return among_targets(self.targets_M, self.rows)

    def means(self, loss: Tensor, parts: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over the positions of all processes of a loss and its parts."""
        detached = {name: value.detach() for name, value in parts.items()}
        if self.world == 1:
            return loss, detached
        share = self.own / (self.total or 1)
        means = summed(torch.stack([loss, *detached.values()]) * share)
        return means[0], dict(zip(detached, means[1:], strict=True))
