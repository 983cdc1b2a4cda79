"""The options of every ranking protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    pass


class Options(Protocol):
    """The options of every protocol."""

    @property
    def metrics(self) -> list[Any]:
        """Accuracy metrics."""
        ...

    @property
    def ks(self) -> list[int]:
        """List lengths at which these are computed."""
        ...

    @property
    def exclude_seen(self) -> bool:
        """Leave items of the user's history out of the lists.

        A target that the user had before can then not be hit; the manifest counts these.
        """
        ...

    @property
    def max_k(self) -> int:
        """Places stored per user, at least the largest of ks and beyond_ks."""
        ...

    @property
    def score_mib(self) -> int:
        """Memory for one block of users x items scores."""
        ...

    @property
    def beyond_accuracy(self) -> list[Any]:
        """Metrics of the test lists that look at more than targets."""
        ...

    @property
    def beyond_ks(self) -> list[int]:
        """List lengths at which these are computed."""
        ...

    @property
    def category_feature(self) -> str | None:
        """Item column for metrics of categories, e.g. ``item.category``."""
        ...

    @property
    def embeddings_path(self) -> str | None:
        """Parquet file with columns ``item_id`` and ``embedding``.

        An embedding is a list of numbers, the same number for each item.
        """
        ...

    @property
    def target_period(self) -> str | None:
        """Cut the test also by the ``day``, ``week`` or ``month`` of each target; null: not."""
        ...

    @property
    def value_feature(self) -> str | None:
        """Numeric column of items or events: what a target is worth, e.g. ``item.price``."""
        ...

    @property
    def missing_value(self) -> float | None:
        """What a target is worth whose value is missing; null: such targets are refused."""
        ...

    @property
    def off_policy_reward(self) -> str | None:
        """Numeric event column: what followed the exposure; with it come off-policy estimates."""
        ...

    @property
    def off_policy_propensity(self) -> str | None:
        """Numeric event column: probability with which the item was shown."""
        ...

    @property
    def off_policy_items(self) -> int | None:
        """In its place: the item was drawn uniformly from so many."""
        ...

    @property
    def off_policy_where(self) -> str | None:
        """Event column that is 1 for the test events that count, e.g. ``event.is_rand``."""
        ...

    @property
    def off_policy_clip(self) -> float | None:
        """Largest weight of an event; null: none."""
        ...

    @property
    def mean_over(self) -> str:
        """What counts the same in a metric, ``users`` or ``lists``, where users have several."""
        ...
