"""What the metrics of a protocol are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WITHOUT_K = ("auc", "gauc")
"""Of all candidates of a user, not of the first k places."""


def accuracy_names(metrics: Iterable[str], ks: Sequence[int]) -> list[str]:
    """``ndcg@10`` and so on, each metric at every k; those of whole lists once, e.g. ``auc``."""
    return [
        name if k is None else f"{name}@{k}"
        for name in metrics
        for k in ([None] if name in WITHOUT_K else ks)
    ]
