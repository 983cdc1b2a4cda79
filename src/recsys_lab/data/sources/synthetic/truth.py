"""The true probabilities of a synthetic log over the items of a prepared dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.sources.synthetic.process import Ints, ShopProcess

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Batch


class ShopTruth:
    """A `ShopProcess` over the item indices of a prepared dataset.

    Args:
        process: the process of the log.
        item_ids_V: raw ids of the prepared items, in index order, (V,).
    """

    def __init__(self, process: ShopProcess, item_ids_V: Ints) -> None:
        self._process = process
        order = np.argsort(process.item_ids)
        self._numbers_V = order[np.searchsorted(process.item_ids[order], item_ids_V)]

    def next_item_probabilities(self, batch: Batch) -> Tensor:
        """True P(next item | history) over the prepared items.

        Args:
            batch: full histories with timestamps, none empty.

        Returns:
            float32 (B, V); a row sums to 1 minus the probabilities of items that nobody bought.
        """
        import torch

        if batch.timestamps_T is None:
            raise UserError("the true probabilities need the timestamps of synthetic_shop")
        offsets = batch.offsets.cpu().numpy()
        probabilities = self._process.next_item_probabilities(
            self._numbers_V[batch.items_T.cpu().numpy()],
            offsets,
            batch.timestamps_T.cpu().numpy()[offsets[1:] - 1],
        )
        kept = torch.from_numpy(probabilities[:, self._numbers_V].astype(np.float32))
        return kept.to(batch.items_T.device)


def load_truth(path: Path, kept: int, item_ids_V: Ints) -> ShopTruth:
    """The process behind a prepared dataset.

    Args:
        path: the ``.npz`` that `SyntheticShop.read_raw` wrote.
        kept: number of events of the prepared dataset.
        item_ids_V: its raw item ids, in index order, (V,).

    Raises:
        UserError: events were filtered out, so the true histories are unknown.
    """
    with np.load(path, allow_pickle=False) as stored:
        made = int(stored["num_events"])
    if kept != made:
        raise UserError(
            f"the true probabilities of {path.parent} are not known: the prepared data has "
            f"{kept:,} of the {made:,} events of synthetic_shop, and the next item depends on all "
            "of a user's events; prepare without filtering (filter=default)"
        )
    return ShopTruth(ShopProcess.load(path), item_ids_V)
