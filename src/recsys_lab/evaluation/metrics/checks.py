"""Checks of a protocol's metrics before data are read; the user's own metrics are tried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from recsys_lab.config import Chosen, UserError, class_of_chosen
from recsys_lab.config.targets import import_class
from recsys_lab.evaluation.metrics.names import ACCURACY, BEYOND
from recsys_lab.evaluation.metrics.registry import known, make_metrics
from recsys_lab.evaluation.metrics.trial import USERS, try_out
from recsys_lab.evaluation.metrics.user_mean import AccuracyMetric, BeyondMetric, ListsMetric
from recsys_lab.evaluation.protocols.options import Options

_OTHERS = {
    "metrics": ("beyond_accuracy", BeyondMetric),
    "beyond_accuracy": ("metrics", AccuracyMetric),
}
"""Option -> the other one, and the base class of its metrics."""


def check_metrics(config: Options) -> None:
    """Refuse metrics that cannot be computed or have ambiguous names.

    Raises:
        UserError: a name is used twice or is that of a metric of the lab, a class is incomplete or
            fails, or value metrics are given without their column (or the reverse).
    """
    options = (
        ("metrics", ACCURACY, config.metrics, config.ks),
        ("beyond_accuracy", BEYOND, config.beyond_accuracy, config.beyond_ks),
    )
    names: Counter[str] = Counter()
    for option, choice, metrics, ks in options:
        for chosen in metrics:
            _refuse_misplaced(option, chosen)
            kind = class_of_chosen(choice, chosen)
            if not isinstance(chosen, str):
                _check_class(f"evaluation.{option}: {chosen['_target_']}", kind, ks)
            names[kind.name] += 1
            if names[kind.name] > 1:
                raise UserError(
                    f"evaluation.{option}: two metrics have the name {kind.name!r}; leave one out, "
                    "or give one of your own another name: a subclass of it that sets name = '...'"
                )
    _refuse_idle_options(config)
    for chosen in config.metrics:
        if not isinstance(chosen, str):
            for metric in make_metrics([chosen], config.ks, max(config.ks) + USERS).values():
                try_out(f"evaluation.metrics: {chosen['_target_']}", metric, metric.k + USERS)


def _refuse_misplaced(option: str, chosen: Chosen) -> None:
    """Refuse a user's metric that belongs to the other option.

    Raises:
        UserError: it does.
    """
    if isinstance(chosen, str):
        return
    other, base = _OTHERS[option]
    if issubclass(import_class(chosen.get("_target_")), base):
        raise UserError(
            f"evaluation.{option}: {chosen['_target_']} is a metric of evaluation.{other}; move it "
            "there"
        )


def _check_class(where: str, kind: type[ListsMetric], ks: Sequence[int]) -> None:
    """Check the attributes and methods of a user's own metric."""
    problem = None
    if not kind.name.isidentifier():
        problem = f"got name {kind.name!r}, expected letters, digits and _; set name = '...'"
    elif kind.name in {*known(), *BEYOND.renamed}:
        problem = f"the name {kind.name!r} is that of a metric of the lab; choose another one"
    elif not isinstance(kind.higher_is_better, bool):
        problem = "the direction is not set: set higher_is_better = True or False"
    elif min(ks) < kind.least_k:
        problem = f"got k={min(ks)}, expected at least {kind.least_k}"
    if problem is not None:
        raise UserError(f"{where}: {problem}")


def _refuse_idle_options(config: Options) -> None:
    reading = [
        kind.name
        for kind in (class_of_chosen(ACCURACY, chosen) for chosen in config.metrics)
        if kind.reads_values
    ]
    if reading and config.value_feature is None:
        raise UserError(
            f"evaluation.metrics: '{reading[0]}' needs the value of each target; name a numeric "
            "column of the items or events, e.g. evaluation.value_feature=item.price, or leave the "
            "metric out"
        )
    if not reading and config.value_feature is not None:
        all_reading = [name for name, kind in known().items() if kind.reads_values]
        raise UserError(
            f"evaluation.value_feature={config.value_feature}: no metric reads it; add some of "
            f"{', '.join(all_reading)} to evaluation.metrics, or set it to null"
        )
    if config.missing_value is not None and config.value_feature is None:
        raise UserError(
            f"evaluation.missing_value={config.missing_value:g}: has no effect without "
            "evaluation.value_feature; set that, or set this to null"
        )
