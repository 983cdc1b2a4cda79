"""Options of the ranking protocols."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

from recsys_lab.evaluation.metrics.names import Accuracy, Beyond

Place = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Options:
    """Options of every protocol.

    Attributes:
        metrics: accuracy metrics, names or classes: see `recsys_lab.evaluation.metrics.names`.
        ks: list lengths of the accuracy metrics.
        exclude_seen: exclude items of the user's history from the lists. Repeated targets can then
            not be hit; the manifest counts them.
        max_k: ranks stored per user, at least the largest of ks and beyond_ks.
        score_mib: memory for one block of users x items scores, in MiB.
        beyond_accuracy: metrics of the test lists that do not only depend on targets.
        beyond_ks: list lengths of these metrics.
        category_feature: item column for category metrics, e.g. ``item.category``.
        embeddings_path: Parquet file with columns ``item_id`` and ``embedding``, lists of numbers
            of equal length.
        mean_over: unit with equal weight in a metric, ``users`` or ``lists``, if users have several
            lists.
        target_period: slice the test by the ``day``, ``week`` or ``month`` of each target; null:
            no such slices.
        value_feature: numeric column of items or events with the value of a target, e.g.
            ``item.price``.
        missing_value: value of targets whose value is missing; null: they are an error.
        off_policy_reward: numeric event column with the reward of the exposure; enables off-policy
            estimates.
        off_policy_propensity: numeric event column with the probability of showing the item.
        off_policy_items: instead of a propensity column: the item was drawn uniformly from this
            many items.
        off_policy_where: event column that is 1 for the test events to use, e.g.
            ``event.is_rand``.
        off_policy_clip: largest weight of an event; null: no limit.
    """

    metrics: Annotated[list[Accuracy], MinLen(1)]
    ks: Annotated[list[Place], MinLen(1)]
    exclude_seen: bool
    max_k: Place
    score_mib: Place
    beyond_accuracy: list[Beyond]
    beyond_ks: Annotated[list[Place], MinLen(1)]
    category_feature: str | None
    embeddings_path: str | None
    mean_over: Literal["users", "lists"] = field(default="users", kw_only=True)
    target_period: Literal["day", "week", "month"] | None = field(default=None, kw_only=True)
    value_feature: str | None = field(default=None, kw_only=True)
    missing_value: Annotated[float, Ge(0)] | None = field(default=None, kw_only=True)
    off_policy_reward: str | None = field(default=None, kw_only=True)
    off_policy_propensity: str | None = field(default=None, kw_only=True)
    off_policy_items: Place | None = field(default=None, kw_only=True)
    off_policy_where: str | None = field(default=None, kw_only=True)
    off_policy_clip: Annotated[float, Gt(0)] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class CatalogueOptions(Options):
    """Options of protocols whose candidates are items of the catalogue.

    Attributes:
        candidates: ``all`` items; ``known`` items, with a training event; or items ``released`` by
            the time of the user's first target. See `recsys_lab.evaluation.protocols.admissible`.
        release_column: item column with release dates or times, for ``candidates: released``;
            null: the time of an item's first event.
    """

    candidates: Literal["all", "known", "released"] = field(default="all", kw_only=True)
    release_column: str | None = field(default=None, kw_only=True)
