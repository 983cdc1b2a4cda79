"""Protocols of recommenders, losses and data.

Shapes: B users in a batch, D width, V items, N supervised positions, K list length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from recsys_lab.contracts.batches import Batch, Exclude, RankedLists


@runtime_checkable
class Recommender(Protocol):
    """Anything that ranks items for users."""

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k best items for each user of the batch, without the excluded pairs."""
        ...


@runtime_checkable
class ScoresByProduct(Protocol):
    """A model whose score is the dot product of a state and an item vector."""

    def query_states(self, batch: Batch) -> Tensor:
        """The state that ranks the next item, (B, D).

        Raises:
            ValueError: a history is empty, and the model needs events.
        """
        ...

    def item_table(self) -> Tensor:
        """Vectors of all items, (V, D)."""
        ...


class DenseModel(Recommender, ScoresByProduct, Protocol):
    """A trained recommender; optional attributes are in `recsys_lab.contracts.traits.Traits`.

    Attributes:
        window: number of most recent events that it reads.
    """

    window: int

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States of the N supervised positions, (N, D), and their targets, int64 (N,)."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trained parameters."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object:
        """Load stored weights."""
        ...

    def compile(self, **options: Any) -> object:
        """Compile the inner layers with `torch.compile`."""
        ...

    def train(self) -> object:
        """Switch to training mode (dropout on)."""
        ...

    def eval(self) -> object:
        """Switch to evaluation mode (dropout off)."""
        ...


class GroundTruth(Protocol):
    """The process that generated a synthetic log."""

    def next_item_probabilities(self, batch: Batch) -> Tensor:
        """True P(next item | history), float32 (B, V) over the prepared catalogue."""
        ...


class FeatureColumns(Protocol):
    """Encoded columns of items, users and events, each named ``side.column``."""

    def entry(self, name: str) -> Mapping[str, Any]:
        """Metadata of a column: its ``type``, ``cardinality``, ``mean`` and so on.

        Raises:
            UserError: there is no such column.
        """
        ...

    def column(self, name: str) -> Any:
        """Codes (0 missing, 1 unknown, from 2 known), numbers, or lists of codes (two arrays).

        Raises:
            UserError: there is no such column, or it is text.
        """
        ...

    def text(self, name: str) -> list[str | None]:
        """The texts of a text or categorical column, one per row; None where missing.

        Raises:
            UserError: there is no such column, or it has lists or numbers.
        """
        ...

    def sentences(self, names: Sequence[str]) -> list[str | None]:
        """One text per row of several columns of one side, in this order.

        Raises:
            UserError: there is no such column.
        """
        ...


class TrainingData(Protocol):
    """A prepared dataset, from which a model learns the events in ``segments("train")``.

    The flat arrays have the events of all phases: reading events outside of these segments is a
    leak.

    Attributes:
        num_items: V.
        num_users: U.
        items: item of every event, int32, grouped by user, chronological within each.
        timestamps: seconds since the epoch of every event, int64, or None.
    """

    num_items: int
    num_users: int
    items: NDArray[np.int32]
    timestamps: NDArray[np.int64] | None

    @property
    def features(self) -> FeatureColumns:
        """Encoded columns."""
        ...

    def segments(self, phase: str) -> NDArray[np.int64]:
        """For ``"train"``: rows of user, start and end index in the flat arrays, int64 (n, 3)."""
        ...

    def training_item_counts(self) -> NDArray[np.int64]:
        """Number of training events of each item, (V,)."""
        ...

    def truth(self) -> GroundTruth | None:
        """The generating process of synthetic data, else None."""
        ...


@runtime_checkable
class FittedModel(Recommender, Protocol):
    """A classical recommender: fitted without gradient descent, stored as plain arrays."""

    def fit(self, data: TrainingData) -> None:
        """Learn from the training part."""
        ...

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The fitted parameters, stored without pickle."""
        ...

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`."""
        ...


@runtime_checkable
class UsesItemCounts(Protocol):
    """A loss that needs the number of training events of each item."""

    def read_counts(self, counts_V: Tensor) -> None:
        """Receive the counts before the first step, int64 (V,)."""
        ...


@runtime_checkable
class UsesTargetCounts(Protocol):
    """A loss that may need to know how often each item is a target in training.

    Attributes:
        reads_targets: whether it needs it.
    """

    @property
    def reads_targets(self) -> bool:
        """Whether `read_targets` must be called before the first step."""
        ...

    def read_targets(self, counts_V: Tensor) -> None:
        """Receive how often each item is expected to be a target in an epoch, float64 (V,)."""
        ...


@runtime_checkable
class SamplesTargets(Protocol):
    """A trained model that samples the events that it predicts (Cloze)."""

    def target_chances(self, batch: Batch) -> Tensor:
        """Probability of each event of a training batch to be a target, float32 (T,).

        Best on the host, from `Batch.ranges_on_host`, so that no step waits for the device.
        """
        ...


@runtime_checkable
class ValidatesData(Protocol):
    """A model that needs data with certain properties, such as timestamps."""

    def check_data(self, data: TrainingData) -> None:
        """Check the data before anything is trained.

        Raises:
            UserError: the data lack something.
        """
        ...


@runtime_checkable
class ValidatesDevice(Protocol):
    """A loss that does not work on every device."""

    def check_device(self, device: str) -> None:
        """Check the device (``cpu``, ``cuda``) before anything is trained.

        Raises:
            UserError: the loss does not work on it.
        """
        ...


@runtime_checkable
class ResolvesOptions(Protocol):
    """A loss with options that depend on the machine, for the run's record."""

    def resolved(self, device: str) -> Mapping[str, str]:
        """What options with the value ``auto`` are on a type of device, by their path."""
        ...


@runtime_checkable
class HoldsScores(Protocol):
    """A loss that reports the scores it has in memory, for the estimate of a run's memory."""

    def scores_in_memory(self, positions: int, num_items: int, device: str) -> int:
        """Lower bound of the number of scores in memory at once in a step.

        Args:
            positions: N.
            num_items: V.
            device: ``cpu`` or ``cuda``.
        """
        ...


class Loss(Protocol):
    """A training loss; optional methods are in the other protocols of losses."""

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss over the N supervised positions, a scalar."""
        ...
