"""Builds metrics, given by name or class, for a protocol and a catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from recsys_lab.config import UserError, build_chosen, class_of_chosen, config_values
from recsys_lab.config.targets import find_source, source_hash
from recsys_lab.evaluation.metrics.accuracy import PerUserMetric
from recsys_lab.evaluation.metrics.names import ACCURACY, BEYOND
from recsys_lab.evaluation.metrics.trial import try_out
from recsys_lab.evaluation.metrics.user_mean import BeyondMetric, UserMean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.config import Choice, Chosen
    from recsys_lab.evaluation.catalogue import Catalogue
    from recsys_lab.evaluation.metrics.user_mean import AccuracyMetric, ListsMetric
    from recsys_lab.evaluation.metrics.values import TargetValues
    from recsys_lab.evaluation.protocols.options import Options


class MetricInfo(NamedTuple):
    """A metric to compute.

    Attributes:
        name: with its k, e.g. ``ndcg@10``.
        chosen: value of the option.
        kind: its class.
        k: ranks that count; None for all.
    """

    name: str
    chosen: Chosen
    kind: type[ListsMetric]
    k: int | None


@cache
def known() -> Mapping[str, type[ListsMetric]]:
    """Every metric of the lab by its name without k."""
    return {n: class_of_chosen(choice, n) for choice in (BEYOND, ACCURACY) for n in choice.names}


def known_as(name: str) -> type[ListsMetric] | None:
    """The lab's metric of a name such as ``ndcg@10``; None for a user's own."""
    return known().get(name.partition("@")[0])


def named(choice: Choice, metrics: Sequence[Chosen], ks: Sequence[int]) -> Iterator[MetricInfo]:
    """Each metric at every k; metrics of whole lists, e.g. ``auc``, once."""
    for chosen in metrics:
        kind = class_of_chosen(choice, chosen)
        for k in ks if kind.has_k else [None]:
            yield MetricInfo(kind.name if k is None else f"{kind.name}@{k}", chosen, kind, k)


def accuracy_names(metrics: Sequence[Chosen], ks: Sequence[int]) -> list[str]:
    """``ndcg@10`` and so on."""
    return [metric.name for metric in named(ACCURACY, metrics, ks)]


def all_named(config: Options) -> list[MetricInfo]:
    """Every metric of a protocol."""
    beyond = named(BEYOND, config.beyond_accuracy, config.beyond_ks)
    return [*named(ACCURACY, config.metrics, config.ks), *beyond]


def own_metrics(config: Options) -> dict[str, dict[str, bool]]:
    """The user's own metrics by name without k: direction, and whether beyond accuracy."""
    return {
        metric.kind.name: {
            "higher_is_better": bool(metric.kind.higher_is_better),
            "beyond": issubclass(metric.kind, BeyondMetric),
        }
        for metric in all_named(config)
        if not isinstance(metric.chosen, str)
    }


def make_metrics(
    metrics: Sequence[Chosen], ks: Sequence[int], num_items: int = 1
) -> dict[str, AccuracyMetric]:
    """One metric for each name and k, keyed ``"ndcg@10"`` and so on."""
    return {
        name: _made(ACCURACY, chosen, k=num_items if k is None else k)
        for name, chosen, _, k in named(ACCURACY, metrics, ks)
    }


def make_beyond(
    metrics: Sequence[Chosen], ks: Sequence[int], catalogue: Catalogue
) -> dict[str, BeyondMetric]:
    """One metric for each name and k, keyed ``"coverage@10"`` and so on.

    Raises:
        UserError: a metric needs categories, embeddings or a larger k, or a user's own fails.
    """
    made = {}
    for name, chosen, kind, k in named(BEYOND, metrics, ks):
        assert k is not None
        _refuse_lacking(kind, k, catalogue)
        made[name] = _made(BEYOND, chosen, k=k, catalogue=catalogue)
        if not isinstance(chosen, str):
            where = f"evaluation.beyond_accuracy: {chosen['_target_']}"
            try_out(where, made[name], len(catalogue.counts_V), catalogue.counts_V.device)
    return made


def _made(choice: Choice, chosen: Chosen, **given: Any) -> Any:
    """One metric; where a user's own cannot be made, its class is named."""
    try:
        return build_chosen(choice, chosen, **given)
    except Exception as error:
        if isinstance(chosen, str) or isinstance(error, UserError):
            raise
        option = "metrics" if choice is ACCURACY else "beyond_accuracy"
        raise UserError(
            f"evaluation.{option}: {chosen['_target_']}: fails when it is made "
            f"({type(error).__name__}: {error})"
        ) from error


def largest_value(name: str, most_targets: int | None) -> float | None:
    """The largest possible value of a hit metric such as ``ndcg@10``; None for other metrics.

    Args:
        name: with its k.
        most_targets: largest number of targets of a list; None if unknown, as for means over lists.
    """
    metric = known_as(name)
    if most_targets is None or metric is None:
        return None
    if not (issubclass(metric, UserMean) and metric.of_hits):
        return None
    k = int(name.partition("@")[2])
    return min(most_targets, k) / k if metric.by_rank else 1.0


def definitions(
    config: Options, catalogue: Catalogue, values: TargetValues | None
) -> dict[str, dict[str, Any]]:
    """Definitions, for the record, of metrics that read a column or a file, or are a user's own.

    Args:
        config: options of the protocol.
        catalogue: the items.
        values: values of the targets, if a metric reads them.
    """
    read = {
        "category_feature": config.category_feature,
        "embeddings_path": config.embeddings_path,
    }
    defined: dict[str, dict[str, Any]] = {}
    for name, chosen, kind, _ in all_named(config):
        if not isinstance(chosen, str):
            defined[name] = _own_definition(chosen, kind)
        elif kind.option is not None:
            value, content = str(read[kind.option]), catalogue.content(kind.option)
            defined[name] = {"option": kind.option, "value": value, "content": content}
        elif kind.reads_values and values is not None:
            defined[name] = values.definition()
    return defined


def _own_definition(chosen: Mapping[str, Any], kind: type[ListsMetric]) -> dict[str, Any]:
    """Class, options, source hash, and the properties that comparisons need."""
    options = "".join(f" {key}={value}" for key, value in config_values(chosen).items())
    return {
        "option": "class",
        "value": f"{chosen['_target_']}{options}",
        "content": source_hash(find_source(kind.__module__)),
        "higher_is_better": bool(kind.higher_is_better),
        "reads_targets": kind.reads_targets or issubclass(kind, PerUserMetric),
    }


def changed_classes(noted: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The user's own metrics whose file is another one than when they were recorded.

    Args:
        noted: `definitions`, as recorded.

    Returns:
        Metric, e.g. ``effort@10`` -> file and class, ``my_metrics.py (my_metrics.Effort)``.
    """
    changed = {}
    for name, definition in noted.items():
        if definition["option"] == "class":
            target = definition["value"].partition(" ")[0]
            source = find_source(target.rpartition(".")[0])
            if source is not None and source_hash(source) != definition["content"]:
                changed[name] = f"{source.name} ({target})"
    return changed


def _refuse_lacking(kind: type[ListsMetric], k: int, catalogue: Catalogue) -> None:
    where = f"evaluation.beyond_accuracy: '{kind.name}'"
    if kind.option == "category_feature" and catalogue.categories is None:
        raise UserError(
            f"{where} needs item categories; name a categorical or list column of the items, "
            "e.g. evaluation.category_feature=item.category, or leave the metric out"
        )
    if kind.option == "embeddings_path" and catalogue.embeddings_VD is None:
        raise UserError(
            f"{where} needs item embeddings; name a Parquet file with columns item_id and "
            "embedding in evaluation.embeddings_path, or leave the metric out"
        )
    if k < kind.least_k:
        raise UserError(
            f"{where} compares the items of a list, so it needs k >= {kind.least_k}, but "
            f"evaluation.beyond_ks has {k}; remove that, or leave the metric out"
        )
