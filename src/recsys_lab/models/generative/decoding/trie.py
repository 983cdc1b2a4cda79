"""The codes of all items as a trie in flat arrays.

Shapes: V items, L levels, N nodes of a level, P pairs of a row and an item or node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Exclude


@dataclass(frozen=True)
class Children:
    """The children of the nodes of one level.

    Nodes are numbered in the order of their codes, so that the children of a node have consecutive
    numbers. Node N, one more than there are, stands for no node, and has no children.

    Attributes:
        starts: node n has the children ``starts[n] .. starts[n + 1] - 1``, int64 (N + 2,).
        codes: code of each child, int64 (children + largest,); zeros at the end, so that any node
            is followed by as many codes as the largest number of children.
        parents: node of each child, int64 (children,).
        counts: number of items below each child, int64 (children,).
        of_item_V: the child that leads to each item, int64 (V,).
        limits: inf as often as the largest number of children, then -inf as often, float32.
        largest: largest number of children of a node.
    """

    starts: Tensor
    codes: Tensor
    parents: Tensor
    counts: Tensor
    of_item_V: Tensor
    limits: Tensor
    largest: int

    @property
    def size(self) -> int:
        """Number of children of all nodes."""
        return len(self.parents)


@dataclass(frozen=True)
class Trie:
    """Children of the nodes of levels 0 (the root) to L, whose children are the items.

    Attributes:
        levels: L + 1 of them; codes of the last are items.
    """

    levels: tuple[Children, ...]

    @staticmethod
    def of(codes_VL: Tensor) -> Trie:
        """The trie of the items' codes, on their device."""
        items_V = torch.arange(len(codes_VL), device=codes_VL.device)
        node_V, size, levels = torch.zeros_like(items_V), 1, []
        for codes_V in (*codes_VL.unbind(1), items_V):
            radix = int(codes_V.max()) + 1
            keys_V = node_V * radix + codes_V
            keys, node_V, counts = keys_V.unique(return_inverse=True, return_counts=True)
            parents = keys // radix
            fan_outs = parents.bincount(minlength=size + 1)  # node `size` has none
            starts = torch.cat([fan_outs.new_zeros(1), fan_outs.cumsum(0)])
            largest = int(fan_outs.max())
            codes = torch.cat([keys % radix, keys.new_zeros(largest)])
            limits = torch.full((2 * largest,), torch.inf, device=codes.device)
            limits[largest:] = -torch.inf
            levels.append(Children(starts, codes, parents, counts, node_V, limits, largest))
            size = len(keys)
        return Trie(tuple(levels))

    def dead(self, exclude: Exclude | None) -> list[tuple[Tensor, Tensor]]:
        """For each level, the (rows, children) below which all items are excluded, int64 (P,)."""
        if exclude is None:
            none_P = self.levels[0].parents[:0]
            return [(none_P, none_P)] * len(self.levels)
        rows_P, items_P = exclude
        num_items = self.levels[-1].size
        keys_P = (rows_P * num_items + items_P).unique()  # a pair may be given twice
        rows_P, items_P = keys_P // num_items, keys_P % num_items
        pairs = []
        for level in self.levels:
            keys_P = rows_P * level.size + level.of_item_V[items_P]
            keys, excluded = keys_P.unique(return_counts=True)
            children = keys % level.size
            dead = excluded == level.counts[children]
            pairs.append((keys[dead] // level.size, children[dead]))
        return pairs
