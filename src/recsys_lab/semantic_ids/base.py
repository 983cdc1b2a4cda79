"""Base classes of quantisers: from items, mostly as vectors, to short sequences of codes.

Shapes: V items, L levels, C codes of a level, E width of the vectors.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, MinLen

from recsys_lab.contracts import SemanticIds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset


@dataclass(frozen=True)
class Items:
    """What a quantiser learns from.

    Attributes:
        data: the prepared dataset.
        is_known_V: whether each item has training events, bool (V,). Codes are learned from these
            items; the others get the nearest codes.
        vectors_VE: the vectors to quantise, float32 (V, E); None for a quantiser that reads none.
        aligned_VF: collaborative vectors to align with, float32 (V, F), NaN in the rows of items
            that have none; None without `VectorQuantiser.align_with`.
    """

    data: PreparedDataset
    is_known_V: NDArray[np.bool_]
    vectors_VE: NDArray[np.float32] | None = None
    aligned_VF: NDArray[np.float32] | None = None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """`vectors_VE`, of a quantiser that reads vectors."""
        assert self.vectors_VE is not None
        return self.vectors_VE


@dataclass(frozen=True)
class Codes:
    """The codes of all items, coarse to fine.

    Attributes:
        codes_VL: code of each item at each level, ``0 .. num_codes[l] - 1``, int64 (V, L).
        num_codes: C of each level.
        notes: what was measured when the codes were learned, for the manifest: JSON values.
    """

    codes_VL: NDArray[np.int64]
    num_codes: tuple[int, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)


class Quantiser(ABC):
    """Gives every item a short sequence of codes.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of all quantisers.

        Attributes:
            deduplicate: largest number of items that may share their codes; such items are told
                apart by one more level, which numbers them by their training events, most first,
                then by raw id. null: they share their codes, and are ranked by the tie rule.
            keep: folder of a finished run whose codes its items keep; new items get codes by the
                same quantiser, if it can: see `Quantiser.extend`. null: all codes are made again.
        """

        deduplicate: Annotated[int, Ge(2)] | None
        keep: str | None = field(default=None, kw_only=True)

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """For names of folders: that of the module."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def quantise(self, items: Items) -> Codes:
        """The codes of all items, learned from those with training events.

        torch's generator is seeded before, and restored after.

        Raises:
            UserError: the items do not suit the quantiser.
        """

    def extend(self, items: Items, kept: Codes) -> Codes | None:  # noqa: ARG002
        """The codes of all items, where some keep theirs; None if the quantiser cannot do it.

        Args:
            items: all items.
            kept: the codes of the items that keep them, -1 in the rows of the others; without the
                level of `Config.deduplicate`.
        """
        return None


class VectorQuantiser(Quantiser):
    """Quantises item vectors, which are read as its options say."""

    @dataclass(frozen=True)
    class Config(Quantiser.Config):
        """Options of quantisers of vectors.

        Attributes:
            vectors: what is quantised: "features": item columns, see `features`; "text": vectors of
                item texts, see `text`; the folder of a finished run: its item vectors; a Parquet
                file with columns item_id and embedding. A list of these: all of them side by side,
                each centred and scaled to a mean squared length of 1.
            features: item columns to encode for "features", categorical or list (one column for
                each value), or numeric (standard score); null: all that there are.
            text: item column whose texts are encoded for "text", or a list of columns of any type,
                joined to one text in this order.
            encoder: sentence encoder of "text": a folder or a name on the Hugging Face Hub.
            cache_dir: folder of the cache of text vectors.
            standardise: give every dimension mean 0 and variance 1 over the items with training
                events, before `components`.
            components: number of principal components to keep, of the items with training events;
                null: all dimensions as they are.
            seed: seed of all random draws of the quantiser.
        """

        vectors: str | list[str]
        features: list[str] | None
        text: str | Annotated[list[str], MinLen(1)]
        encoder: str | None
        cache_dir: str
        standardise: bool
        components: Annotated[int, Ge(1)] | None
        seed: Annotated[int, Ge(0)]

    config: Config

    @property
    def align_with(self) -> str | None:
        """A run or file, given as in `Config.vectors`, that `Items.aligned_VF` is read from."""
        return None


def semantic_ids(codes: Codes, vectors_VE: NDArray[np.float32] | None) -> SemanticIds:
    """The codes as models receive them."""
    digest = hashlib.sha256(np.array(codes.num_codes, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(codes.codes_VL, dtype="<i8").tobytes())
    if vectors_VE is not None:
        digest.update(np.ascontiguousarray(vectors_VE, dtype="<f4").tobytes())
    return SemanticIds(
        torch.from_numpy(codes.codes_VL.astype(np.int64)),
        codes.num_codes,
        vectors_VE,
        digest.hexdigest()[:16],
    )
