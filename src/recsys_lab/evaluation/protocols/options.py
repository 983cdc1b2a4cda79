"""The options of the ranking protocols, each written once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

from recsys_lab.evaluation.metrics.names import Accuracy, Beyond

Place = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Options:
    """The options of every protocol.

    Attributes:
        metrics: accuracy metrics, names or classes: see `recsys_lab.evaluation.metrics.names`.
        ks: list lengths at which these are computed.
        exclude_seen: leave items of the user's history out of the lists. A target that the user had
            before can then not be hit; the manifest counts these.
        max_k: places stored per user, at least the largest of ks and beyond_ks.
        score_mib: memory for one block of users x items scores.
        beyond_accuracy: metrics of the test lists that look at more than targets.
        beyond_ks: list lengths at which these are computed.
        category_feature: item column for metrics of categories, e.g. ``item.category``.
        embeddings_path: Parquet file with columns ``item_id`` and ``embedding``, a list of numbers,
            the same number for each item.
        mean_over: what counts the same in a metric, ``users`` or ``lists``, where users have
            several.
        target_period: cut the test also by the ``day``, ``week`` or ``month`` of each target; null:
            not.
        value_feature: numeric column of items or events: what a target is worth, e.g.
            ``item.price``.
        missing_value: what a target is worth whose value is missing; null: such targets are
            refused.
        off_policy_reward: numeric event column: what followed the exposure; with it come off-policy
            estimates.
        off_policy_propensity: numeric event column: probability with which the item was shown.
        off_policy_items: in its place: the item was drawn uniformly from so many.
        off_policy_where: event column that is 1 for the test events that count, e.g.
            ``event.is_rand``.
        off_policy_clip: largest weight of an event; null: none.
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
    """Those of protocols whose candidates come from the catalogue.

    Attributes:
        candidates: ``all`` items; those ``known`` by a training event; or those ``released`` at the
            time of the user's first target. See `recsys_lab.evaluation.protocols.admissible`.
        release_column: column of the items with their release, dates or times; read with
            ``candidates: released``; null: an item's first event.
    """

    candidates: Literal["all", "known", "released"] = field(default="all", kw_only=True)
    release_column: str | None = field(default=None, kw_only=True)
