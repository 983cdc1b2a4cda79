"""The protocols that recommenders, losses and data satisfy.

Shapes: B users in a batch, D width, V items, N supervised positions, K list length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


class DenseModel(Recommender, Protocol):
    """A trained recommender whose score is a product of a state and an item's vector.

    A class attribute ``one_target = True`` asks for training histories that have one target each,
    their last event: every beginning of the window that is trained on then is one of its own. For
    models in which an event sees later ones. An attribute ``features`` names the columns to be
    read. An attribute ``reads_next_time = True`` asks for `Batch.next_times_B`, which leaks: the
    run is marked.

    Attributes:
        window: most recent events that it reads.
    """

    window: int

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States of the N supervised positions, (N, D), and their targets, int64 (N,)."""
        ...

    def query_states(self, batch: Batch) -> Tensor:
        """The state that the next item is ranked by, (B, D).

        Raises:
            ValueError: a history is empty, and the model makes no state of nothing.
        """
        ...

    def item_table(self) -> Tensor:
        """Vectors of all items, (V, D)."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trained parameters."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object:
        """Take over stored weights."""
        ...

    def compile(self, **options: Any) -> object:
        """Run the inner layers through `torch.compile`."""
        ...

    def train(self) -> object:
        """Turn dropout on."""
        ...

    def eval(self) -> object:
        """Turn dropout off."""
        ...


class GroundTruth(Protocol):
    """The process that made a synthetic log."""

    def next_item_probabilities(self, batch: Batch) -> Tensor:
        """True P(next item | history), float32 (B, V) over the prepared catalogue."""
        ...


class FeatureColumns(Protocol):
    """Encoded columns of items, users and events, each named ``side.column``."""

    def entry(self, name: str) -> Mapping[str, Any]:
        """What is known of a column: its ``type``, ``cardinality``, ``mean`` and so on.

        Raises:
            UserError: when there is no such column.
        """
        ...

    def column(self, name: str) -> Any:
        """Codes (0 missing, 1 unknown, 2 and up), numbers, or lists of codes as a pair of arrays.

        Raises:
            UserError: when there is no such column, or it is text.
        """
        ...

    def text(self, name: str) -> list[str | None]:
        """The texts of a column of type text or categorical, one a row; None where missing.

        Raises:
            UserError: when there is no such column, or it holds lists or numbers.
        """
        ...


class TrainingData(Protocol):
    """A prepared dataset as a model learns from it: only places in ``segments("train")``.

    The flat arrays hold the events of all phases; reading other places is a leak.

    Attributes:
        num_items: V.
        num_users: U.
        items: item of every event, int32, user after user, each in the order of its time.
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
        """For ``"train"``: rows (user, start, end), places in the flat arrays, (n, 3)."""
        ...

    def training_item_counts(self) -> NDArray[np.int64]:
        """Events of each item in the training part, (V,)."""
        ...

    def truth(self) -> GroundTruth | None:
        """The generating process, for synthetic data."""
        ...


@runtime_checkable
class FittedModel(Recommender, Protocol):
    """A classical recommender: fitted in one pass, stored as plain arrays.

    A class attribute ``ignores_seed = True`` says that nothing in it is drawn at random, so that
    one run stands for all seeds.
    """

    def fit(self, data: TrainingData) -> None:
        """Learn from the training part."""
        ...

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """What was learned, to be stored without pickle."""
        ...

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`."""
        ...


@runtime_checkable
class UsesItemCounts(Protocol):
    """A loss that must know how often each item occurs in training."""

    def read_counts(self, counts_V: Tensor) -> None:
        """Take them over before the first step, int64 (V,)."""
        ...


@runtime_checkable
class UsesTargetCounts(Protocol):
    """A loss that may have to know how often each item is a target in training.

    Attributes:
        reads_targets: whether it has to.
    """

    @property
    def reads_targets(self) -> bool:
        """Whether `read_targets` must come before the first step."""
        ...

    def read_targets(self, counts_V: Tensor) -> None:
        """Take over the expected number of times in an epoch, float64 (V,)."""
        ...


@runtime_checkable
class SamplesTargets(Protocol):
    """A trained model that draws which events of a history it has to predict."""

    def target_chances(self, batch: Batch) -> Tensor:
        """Chance of each event of a training batch to be a target, float32 (T,)."""
        ...


@runtime_checkable
class ValidatesData(Protocol):
    """A model that must have something of the data that not all have."""

    def check_data(self, data: TrainingData) -> None:
        """Refuse data without it, before anything is trained.

        Raises:
            UserError: they lack it.
        """
        ...


@runtime_checkable
class ValidatesDevice(Protocol):
    """A loss that does not work on every device."""

    def check_device(self, device: str) -> None:
        """Refuse a device (``cpu``, ``cuda``), before anything is trained.

        Raises:
            UserError: it does not work there.
        """
        ...


class Loss(Protocol):
    """Tensors in, scalar out."""

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss over the N supervised positions."""
        ...
