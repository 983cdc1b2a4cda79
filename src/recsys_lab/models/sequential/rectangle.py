"""Histories padded to one length, for programs that are traced once and run with any batch size.

A `Batch` has its lengths on the host, so a traced program would have them as constants. A
`RectangularBatch` has them in a tensor, and every cell of its rectangle counts as an event; the
layout keeps the padding from the events. Models are the same: they ask `layout_of` for the layout.

Shapes: B users, L cells of a row, D width; T is B x L for a rectangular batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recsys_lab.contracts import Batch
from recsys_lab.models.sequential.layers import PaddedLayout

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RectangularBatch(Batch):
    """A batch whose histories are the rows of a rectangle, with padding at the end of each row.

    Attributes:
        lengths_B: number of events of each history, int64 (B,); a row without events is ranked as
            if its first cell were an event.
        width: L.
    """

    lengths_B: Tensor | None = None
    width: int = 0

    @staticmethod
    def of(
        items_BL: Tensor, lengths_B: Tensor, users_B: Tensor, timestamps_BL: Tensor | None = None
    ) -> RectangularBatch:
        """The batch of a rectangle of items; its padding has any valid item.

        Args:
            items_BL: item of every cell, int64.
            lengths_B: number of events of each row, int64.
            users_B: user index of each row, int64.
            timestamps_BL: seconds since the epoch of every cell, int64, or None.
        """
        size, width = items_BL.shape
        features: Mapping[str, Tensor] = {}
        return RectangularBatch(
            users_B,
            items_BL.flatten(),
            torch.arange(size + 1, device=items_BL.device) * width,
            (),
            None if timestamps_BL is None else timestamps_BL.flatten(),
            features,
            lengths_B=lengths_B,
            width=width,
        )

    @property
    def size(self) -> int:
        """Number of users B."""
        return self.users_B.shape[0]

    @property
    def last_B(self) -> Tensor:
        """Index of the last event of each row among the B x L cells, int64 (B,)."""
        assert self.lengths_B is not None
        return self.offsets[:-1] + (self.lengths_B - 1).clamp(min=0)


@dataclass(frozen=True)
class RectangularLayout(PaddedLayout):
    """The layout of a rectangular batch: nothing is moved, and the padding is set to zero."""

    @staticmethod
    def spread(lengths_B: Tensor, width: int) -> RectangularLayout:
        """The layout of rows with L cells; at least one is an event, so that attention is finite.

        Args:
            lengths_B: number of events of each row.
            width: L.
        """
        size, device = lengths_B.shape[0], lengths_B.device
        position_T = torch.arange(width, device=device).repeat(size)
        index_T = torch.arange(size * width, device=device)
        return RectangularLayout(index_T, position_T, lengths_B.clamp(min=1), (size, width))

    def from_end(self) -> Tensor:
        """Position of each event from the end of its row; 0 at the padding, (T,)."""
        from_end_BL = self.lengths_B.unsqueeze(1) - 1 - self.position_T.view(self.shape)
        return from_end_BL.clamp(min=0).flatten()

    def corner(self, table: Tensor) -> Tensor:
        """The first L rows and columns; looked up, as a slice is another operation if it is all."""
        first_L = torch.arange(self.shape[1], device=table.device)
        return table[first_L.unsqueeze(1), first_L]

    def pad(self, x_TD: Tensor) -> Tensor:
        """(T, D) -> (B, L, D), zeros at the padding."""
        x_BLD = x_TD.unflatten(0, self.shape)
        padded: Tensor = x_BLD * self.mask(x_TD.device).unsqueeze(2)
        return padded

    def unpad(self, x_BLD: Tensor) -> Tensor:
        """(B, L, D) -> (T, D)."""
        return x_BLD.flatten(0, 1)


def layout_of(batch: Batch) -> PaddedLayout:
    """The layout of a batch's events."""
    if isinstance(batch, RectangularBatch):
        assert batch.lengths_B is not None
        return RectangularLayout.spread(batch.lengths_B, batch.width)
    return PaddedLayout.of(batch.lengths, batch.items_T.device)


def with_appended(
    batch: Batch, x_TD: Tensor, vector_D: Tensor
) -> tuple[Tensor, PaddedLayout, Tensor]:
    """One more event after each history, with a given vector.

    Args:
        batch: the histories.
        x_TD: a vector for each of its events.
        vector_D: the vector of the appended events.

    Returns:
        The vectors of all events, their layout, and the index of each appended event, (B,).
    """
    if isinstance(batch, RectangularBatch):
        assert batch.lengths_B is not None
        longer = replace(batch, lengths_B=batch.lengths_B + 1, width=batch.width + 1)
        rows_BLD = torch.nn.functional.pad(
            x_TD.unflatten(0, (batch.size, batch.width)), (0, 0, 0, 1)
        )
        is_new_BL = torch.arange(longer.width, device=x_TD.device) == batch.lengths_B.unsqueeze(1)
        x_TD = torch.where(is_new_BL.unsqueeze(2), vector_D, rows_BLD).flatten(0, 1)
        first_B = torch.arange(batch.size, device=x_TD.device) * longer.width
        return x_TD, layout_of(longer), first_B + batch.lengths_B
    lengths = tuple(length + 1 for length in batch.lengths)
    last_B = batch.offsets[1:] + torch.arange(batch.size, device=x_TD.device)
    is_real_T = torch.ones(sum(lengths), dtype=torch.bool, device=x_TD.device)
    is_real_T[last_B] = False
    whole_TD = vector_D.repeat(len(is_real_T), 1)
    whole_TD[is_real_T] = x_TD
    return whole_TD, PaddedLayout.of(lengths, x_TD.device), last_B
