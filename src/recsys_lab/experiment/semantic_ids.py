"""The semantic IDs of a run: made from its data, or read from its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recsys_lab.config import build
from recsys_lab.semantic_ids.base import Items, Quantiser, VectorQuantiser, semantic_ids
from recsys_lab.semantic_ids.duplicates import deduplicated
from recsys_lab.semantic_ids.sources import source
from recsys_lab.semantic_ids.vectors import item_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from recsys_lab.contracts import SemanticIds
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.semantic_ids.sources import Source


def semantic_ids_of(cfg: DictConfig, data: PreparedDataset, run: Path | None = None) -> SemanticIds:
    """The codes of all items.

    Args:
        cfg: the whole config.
        data: the prepared dataset; codes are learned from its training part.
        run: folder of the finished run to restore, whose codes are used; None: made if they do not
            exist.
    """
    del run
    quantiser: Quantiser = build(cfg.semantic_ids)
    # Not on the meta device, where a model is built to estimate its memory.
    with torch.device("cpu"), torch.random.fork_rng():
        counts_V = data.training_item_counts()
        is_known_V, vectors_VE = counts_V > 0, None
        if isinstance(quantiser, VectorQuantiser):
            config = quantiser.config
            torch.manual_seed(config.seed)
            names = [config.vectors] if isinstance(config.vectors, str) else config.vectors
            sources = {name: source(name, config, data, _of_run) for name in names}
            vectors_VE, _ = item_vectors(config, sources, data, is_known_V)
        codes = quantiser.quantise(Items(data, is_known_V, vectors_VE))
        if quantiser.config.deduplicate is not None:
            most = quantiser.config.deduplicate
            codes = deduplicated(codes, most, counts_V, data.item_ids())
    return semantic_ids(codes, vectors_VE)


def _of_run(folder: Path, option: str) -> Source:
    raise NotImplementedError(f"{option}={folder}")
