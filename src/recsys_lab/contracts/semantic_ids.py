"""Semantic IDs: items as short sequences of codes, and what generative models need of them.

Shapes: B users in a batch, V items, L levels, C codes of a level, E width, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts.batches import Batch, Exclude, RankedLists
    from recsys_lab.contracts.protocols import TrainingData


@dataclass(frozen=True)
class SemanticIds:
    """The codes of all items, coarse to fine.

    Attributes:
        codes_VL: code of each item at each level, ``0 .. num_codes[l] - 1``, int64 (V, L), on the
            CPU. Items may share all their codes.
        num_codes: number of codes C of each level.
        vectors_VE: the vectors that were quantised, float32 (V, E), for models with the trait
            ``reads_vectors``; None for others, and if there were none.
        fingerprint: hash of codes and vectors; part of the run's identity.
        folder: where they are stored.
    """

    codes_VL: Tensor
    num_codes: tuple[int, ...]
    vectors_VE: NDArray[np.float32] | None
    fingerprint: str
    folder: Path | None = None


class Decoding(Protocol):
    """How a generative model's lists are computed: the component ``decoding``.

    Attributes:
        diagnostics: names of the numbers that its lists have in `RankedLists.diagnostics`.
        width: largest number of prefixes of a user that are computed at once.
        num_beams: candidates kept for each user by a search; None: all items are scored.
    """

    @property
    def diagnostics(self) -> Sequence[str]:
        """See the attributes."""
        ...

    @property
    def width(self) -> int:
        """See the attributes."""
        ...

    @property
    def num_beams(self) -> int | None:
        """See the attributes."""
        ...

    def read_codes(self, ids: SemanticIds) -> None:
        """Receive the codes of the items, before anything is ranked."""
        ...

    def check_length(self, k: int) -> None:
        """Check that lists of ``k`` items can be made; also called before `read_codes`.

        Raises:
            UserError: they cannot.
        """
        ...

    def rank(self, model: Any, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k best items for each user, without the excluded pairs."""
        ...


@runtime_checkable
class UsesSemanticIds(Protocol):
    """A trained model whose weights depend on the codes of the items."""

    def read_semantic_ids(self, ids: SemanticIds, data: TrainingData, decoding: Decoding) -> None:
        """Receive the codes and make the weights; called once, also when a run is restored.

        Args:
            ids: the codes.
            data: the prepared dataset, for titles and training counts.
            decoding: how lists are computed.

        Raises:
            UserError: the codes or the data do not suit the model.
        """
        ...


@runtime_checkable
class UsesTrainingData(Protocol):
    """A trained model that needs the data before its weights are complete."""

    def read_data(self, data: TrainingData) -> None:
        """Receive the data; called once, before `UsesSemanticIds.read_semantic_ids`.

        Also called when a run is restored. Events outside of ``data.segments("train")`` are a leak.

        Raises:
            UserError: the data do not suit the model.
        """
        ...


@runtime_checkable
class MakesLoss(Protocol):
    """A trained model that computes its own loss; ``loss=`` is then refused."""

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean loss over the targets of a batch, a scalar, and its parts by name.

        The parts, scalars, are logged as ``train/NAME``. The model reads `Batch.supervised_T`.
        """
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A model that needs files besides the prepared dataset and the run's own, such as weights."""

    def contents(self) -> Mapping[str, str]:
        """Digests of what was read, by name: part of the run's identity.

        A run is not resumed or restored with other contents.
        """
        ...


@runtime_checkable
class RanksCandidates(Protocol):
    """A model that ranks a few candidates faster than the whole catalogue."""

    def rank_candidates(self, batch: Batch, candidates: Exclude, k: int) -> RankedLists:
        """The k best of each user's candidates.

        Args:
            batch: B users.
            candidates: (rows, items) of the candidate pairs, sorted by row, int64.
            k: list length.
        """
        ...
