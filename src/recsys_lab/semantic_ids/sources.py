"""Where item vectors come from: item columns, item texts, a file, a finished run.

Shapes: V items, E width of a source.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN
from recsys_lab.evaluation.catalogue import read_embeddings
from recsys_lab.files.digests import sha256_of
from recsys_lab.models.inputs.item_columns import full_name, item_texts
from recsys_lab.models.inputs.item_features import standard_score
from recsys_lab.models.inputs.text_vectors import text_vectors
from recsys_lab.pages.number_format import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.semantic_ids.base import VectorQuantiser

FEATURES, TEXT = "features", "text"
_LARGEST = 8 << 30
"""Bytes of the vectors of item columns."""


class Source(Protocol):
    """Vectors of all items from one place."""

    @property
    def digest(self) -> str:
        """Of what the vectors are made from: equal digests, equal vectors."""
        ...

    def read(self) -> NDArray[np.float32]:
        """The vectors, float32 (V, E); NaN in the rows of items that have none."""
        ...


@dataclass(frozen=True)
class Made:
    """Vectors that are in memory."""

    vectors_VE: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """Of the vectors."""
        return hashlib.sha256(np.ascontiguousarray(self.vectors_VE).data).hexdigest()

    def read(self) -> NDArray[np.float32]:
        """The vectors."""
        return self.vectors_VE


@dataclass(frozen=True)
class EmbeddingsFile:
    """A Parquet file with columns item_id and embedding."""

    path: Path
    data: PreparedDataset
    option: str

    @property
    def digest(self) -> str:
        """Of the file."""
        return sha256_of(self.path)

    def read(self) -> NDArray[np.float32]:
        """The vectors in the order of the dataset's items."""
        where = f"{self.option}={self.path}"
        vectors: NDArray[np.float32] = read_embeddings(self.path, self.data, where).numpy()
        if not np.isfinite(vectors).all():
            raise UserError(f"{where}: column embedding has numbers that are not finite")
        return vectors


def source(
    name: str,
    config: VectorQuantiser.Config,
    data: PreparedDataset,
    of_run: Callable[[Path, str], Source],
    option: str = "semantic_ids.vectors",
) -> Source:
    """One source by the name that a user gives it.

    Args:
        name: "features", "text", the folder of a run, or a file.
        config: the options of the first two.
        data: the prepared dataset.
        of_run: the vectors of a finished run, of its folder and the option that names it.
        option: for messages.

    Raises:
        UserError: it does not exist, or does not suit the dataset.
    """
    if name == FEATURES:
        return Made(_feature_vectors(config.features, data))
    if name == TEXT:
        return Made(_text_vectors(config, data))
    path = Path(name)
    if path.is_dir():
        return of_run(path, option)
    if path.suffix == ".npy":
        raise UserError(
            f"{option}={name}: rows of a .npy file have no item ids, so they cannot be matched "
            "with the items of the dataset; write a Parquet file with columns item_id and embedding"
        )
    if not path.is_file():
        raise UserError(
            f"{option}: got '{name}', expected features, text, the folder of a finished run, or a "
            "Parquet file with columns item_id and embedding; there is no such folder or file"
        )
    return EmbeddingsFile(path, data, option)


def _feature_vectors(chosen: list[str] | None, data: PreparedDataset) -> NDArray[np.float32]:
    """Item columns side by side, each item's part of a column with a length of about 1."""
    names = [full_name(name) for name in chosen or ()]
    if chosen is None:
        columns = [name for name in data.features.names() if name.startswith("item.")]
        names = [name for name in columns if data.features.entry(name)["type"] != "text"]
    if not names:
        raise UserError(
            "semantic_ids.vectors=features: the dataset has no item columns with codes or numbers; "
            "declare some with data.item_features, or choose other vectors: text, the folder of a "
            "finished run, or a Parquet file"
        )
    entries = [data.features.entry(name) for name in names]
    width = sum(entry.get("cardinality", 2) for entry in entries)
    if width * data.num_items * 4 > _LARGEST:
        raise UserError(
            f"semantic_ids.features: {', '.join(names)} have {number(width)} values together, too "
            f"many to encode for {number(data.num_items)} items; name fewer columns"
        )
    return np.concatenate([_encoded(name, data) for name in names], 1)


def _encoded(name: str, data: PreparedDataset) -> NDArray[np.float32]:
    """One column, (V, E): unknown and missing values are zeros."""
    entry = data.features.entry(name)
    column: Any = data.features.column(name)
    if entry["type"] == "numeric":
        return standard_score(torch.from_numpy(np.array(column)), entry).numpy()
    codes, rows = column, np.arange(data.num_items)
    if entry["type"] == "list":
        codes, rows = column[0], np.repeat(rows, np.diff(column[1]))
    encoded = np.zeros((data.num_items, entry["cardinality"] - FIRST_KNOWN), dtype=np.float32)
    is_known = codes >= FIRST_KNOWN
    encoded[rows[is_known], codes[is_known] - FIRST_KNOWN] = 1
    length_V = np.linalg.norm(encoded, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = encoded / np.maximum(length_V, 1)
    return scaled


def _text_vectors(config: VectorQuantiser.Config, data: PreparedDataset) -> NDArray[np.float32]:
    if config.encoder is None:
        raise UserError(
            "semantic_ids.encoder: none given for semantic_ids.vectors=text; give a folder with a "
            "sentence encoder or its name on the Hugging Face Hub"
        )
    texts = item_texts(data.features, config.text)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vectors_VE = text_vectors(texts, config.encoder, Path(config.cache_dir), device, "semantic_ids")
    vectors_VE[[not (text or "").strip() for text in texts]] = np.nan
    return vectors_VE
