"""The metrics beyond accuracy by name, made for one catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.evaluation.metrics.accuracy import METRICS
from recsys_lab.evaluation.metrics.areas import AREAS, AUC
from recsys_lab.evaluation.metrics.beyond_accuracy import (
    Calibration,
    CategoryDiversity,
    EmbeddingDiversity,
    ListMetric,
    Novelty,
    Popularity,
    PopularityLift,
    RepeatShare,
    Serendipity,
)
from recsys_lab.evaluation.metrics.exposure import Coverage, Entropy, Exposure, Gini
from recsys_lab.evaluation.metrics.user_mean import UserMean
from recsys_lab.evaluation.metrics.values import VALUED, ValueMetric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.evaluation.catalogue import Catalogue
    from recsys_lab.evaluation.protocols.options import Options

BeyondMetric = ListMetric | Exposure

_CLASSES: tuple[type[BeyondMetric], ...] = (
    Coverage, Gini, Entropy, Novelty, Popularity, PopularityLift, CategoryDiversity,
    EmbeddingDiversity, Serendipity, RepeatShare, Calibration,
)  # fmt: skip
BEYOND: dict[str, type[BeyondMetric]] = {metric.name: metric for metric in _CLASSES}
KNOWN = {**BEYOND, **VALUED, **AREAS, **METRICS}
"""Every metric by its name without k."""


def make_beyond(
    names: Sequence[str], ks: Sequence[int], catalogue: Catalogue
) -> dict[str, BeyondMetric]:
    """One metric for each name and k, keyed ``"coverage@10"`` and so on.

    Raises:
        UserError: a metric needs categories or embeddings that are not there, or a longer list.
    """
    return {f"{name}@{k}": _make(name, k, catalogue) for name in names for k in ks}


def reads_history(names: Sequence[str]) -> bool:
    """Whether one of these metrics needs the whole history of each user."""
    return any(getattr(BEYOND[name], "reads_history", False) for name in names)


def option_of(name: str) -> str | None:
    """The option that names what a metric such as ``calibration@10`` reads of the items."""
    kind = BEYOND.get(name.partition("@")[0])
    return None if kind is None else kind.option


def is_of_all_targets(name: str) -> bool:
    """Whether a metric such as ``auc`` reads a user's targets and cannot tell a part of them."""
    kind = KNOWN.get(name.partition("@")[0])
    if kind is None:
        return False
    return issubclass(kind, AUC | ValueMetric) or bool(getattr(kind, "reads_targets", False))


def largest_value(name: str, most_targets: int | None) -> float | None:
    """The largest value of a metric of hits such as ``ndcg@10``; None for other metrics.

    Args:
        name: with its k.
        most_targets: of a list; None where users' values are none of hits, as of means over lists.
    """
    if most_targets is None:
        return None
    kind, _, k = name.partition("@")
    metric = KNOWN.get(kind)
    if metric is None or not (issubclass(metric, UserMean) and metric.of_hits):
        return None
    return min(most_targets, int(k)) / int(k) if metric.by_rank else 1.0


def definition(name: str, options: Options, catalogue: Catalogue) -> dict[str, str]:
    """What a metric reads of the items: the option, its value and a hash of the content.

    Empty for one that needs no such option.
    """
    option = option_of(name)
    if option is None:
        return {}
    value, content = str(getattr(options, option)), catalogue.content(option)
    return {"option": option, "value": value, "content": content}


def _make(name: str, k: int, catalogue: Catalogue) -> BeyondMetric:
    kind = BEYOND[name]
    where = f"evaluation.beyond_accuracy: '{name}'"
    if kind.option == "category_feature" and catalogue.categories is None:
        raise UserError(
            f"{where} needs categories of the items; name a categorical or list column of them, "
            "e.g. evaluation.category_feature=item.category, or leave the metric out"
        )
    if kind.option == "embeddings_path" and catalogue.embeddings_VD is None:
        raise UserError(
            f"{where} needs a vector of each item; name a Parquet file with columns item_id and "
            "embedding in evaluation.embeddings_path, or leave the metric out"
        )
    if k < getattr(kind, "least_k", 1):
        raise UserError(
            f"{where} compares the items of a list, so it needs at least 2 places, and "
            f"evaluation.beyond_ks has {k}; take that out, or leave the metric out"
        )
    return kind(k, catalogue)
