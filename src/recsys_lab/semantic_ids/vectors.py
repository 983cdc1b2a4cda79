"""Item vectors as a quantiser gets them: sources side by side, complete, scaled.

Means, deviations and components are those of items with training events.

Shapes: V items, E width.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.pages.number_format import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.semantic_ids.base import VectorQuantiser
    from recsys_lab.semantic_ids.sources import Source

    Vectors = NDArray[np.float32]

_log = logging.getLogger(__name__)


def item_vectors(
    config: VectorQuantiser.Config,
    sources: Mapping[str, Source],
    data: PreparedDataset,
    is_known_V: NDArray[np.bool_],
) -> tuple[Vectors, dict[str, int]]:
    """The vectors of all items, float32 (V, E).

    Args:
        config: the options.
        sources: by name; see `recsys_lab.semantic_ids.sources.source`.
        data: the prepared dataset, for messages.
        is_known_V: whether each item has training events.

    Returns:
        The vectors, and the number of items without a vector by source: those get the mean.

    Raises:
        UserError: there is nothing to quantise, or `components` is too large.
    """
    parts, without = [], {}
    for name, source in sources.items():
        part_VE = np.array(source.read(), dtype=np.float32)
        without[name] = _fill(part_VE, name, data, is_known_V)
        if len(sources) > 1:
            part_VE -= part_VE[is_known_V].mean(0)
            part_VE /= np.sqrt((part_VE[is_known_V] ** 2).sum(1).mean()) or 1.0
        parts.append(part_VE)
    vectors_VE = np.concatenate(parts, 1)
    _refuse_equal(vectors_VE[is_known_V], ", ".join(sources))
    if config.standardise:
        deviation_E = vectors_VE[is_known_V].std(0)
        vectors_VE -= vectors_VE[is_known_V].mean(0)
        vectors_VE /= np.where(deviation_E > 0, deviation_E, 1)
    if config.components is not None:
        vectors_VE = _principal(vectors_VE, is_known_V, config.components)
    return np.ascontiguousarray(vectors_VE), without


def _fill(part_VE: Vectors, name: str, data: PreparedDataset, is_known_V: NDArray[np.bool_]) -> int:
    """Give items without a vector the mean one, in place; returns their number."""
    is_missing_V = np.isnan(part_VE.sum(1))
    if not is_missing_V.any():
        return 0
    if is_missing_V[is_known_V].all():
        raise UserError(
            f"semantic_ids.vectors={name}: no item with training events has a vector there"
        )
    part_VE[is_missing_V] = part_VE[is_known_V & ~is_missing_V].mean(0)
    count = int(is_missing_V.sum())
    _log.warning(
        "semantic_ids.vectors=%s: %s of %s items have no vector there, such as item %r; they get "
        "the mean vector, and so the same codes unless another source or deduplicate tells them "
        "apart",
        name,
        number(count),
        number(len(part_VE)),
        data.item_ids()[int(is_missing_V.argmax())],
    )
    return count


def _refuse_equal(vectors_NE: Vectors, names: str) -> None:
    if (vectors_NE == vectors_NE[0]).all():
        raise UserError(
            f"semantic_ids.vectors={names}: all {number(len(vectors_NE))} items with training "
            "events have the same vector, so there is nothing to quantise; choose other vectors, "
            "or semantic_ids=random or one_code"
        )


def _principal(vectors_VE: Vectors, is_known_V: NDArray[np.bool_], count: int) -> Vectors:
    most = min(vectors_VE.shape[1], int(is_known_V.sum()))
    if count > most:
        raise UserError(
            f"semantic_ids.components: got {count}, expected at most {most}, the width of the "
            "vectors and the number of items with training events"
        )
    centred = vectors_VE.astype(np.float64) - vectors_VE[is_known_V].mean(0)
    _, axes = np.linalg.eigh(centred[is_known_V].T @ centred[is_known_V])
    axes = axes[:, ::-1][:, :count]
    # The sign of an axis is open: its largest entry is made positive.
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(count)])
    components: Vectors = (centred @ axes).astype(np.float32)
    return components
