"""A protocol's metrics are checked before data are read; a user's own are tried out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from recsys_lab.config import UserError, class_of_chosen
from recsys_lab.evaluation.metrics.names import ACCURACY, BEYOND
from recsys_lab.evaluation.metrics.registry import known, make_metrics
from recsys_lab.evaluation.metrics.trial import USERS, try_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.evaluation.metrics.user_mean import ListsMetric
    from recsys_lab.evaluation.protocols.options import Options


def check_metrics(config: Options) -> None:
    """Refuse metrics that cannot be computed, or that no one could tell apart.

    Raises:
        UserError: a name is used twice or is the lab's, a class lacks something or fails, or
            metrics of values and the column that they read do not come together.
    """
    options = (
        ("metrics", ACCURACY, config.metrics, config.ks),
        ("beyond_accuracy", BEYOND, config.beyond_accuracy, config.beyond_ks),
    )
    names: Counter[str] = Counter()
    for option, choice, metrics, ks in options:
        for chosen in metrics:
            kind = class_of_chosen(choice, chosen)
            if not isinstance(chosen, str):
                _check_class(f"evaluation.{option}: {chosen['_target_']}", kind, ks)
            names[kind.name] += 1
            if names[kind.name] > 1:
                raise UserError(
                    f"evaluation.{option}: two metrics have the name {kind.name!r}; leave one out"
                )
    _refuse_idle_options(config)
    for chosen in config.metrics:
        if not isinstance(chosen, str):
            for metric in make_metrics([chosen], config.ks, max(config.ks) + USERS).values():
                try_out(f"evaluation.metrics: {chosen['_target_']}", metric, metric.k + USERS)


def _check_class(where: str, kind: type[ListsMetric], ks: Sequence[int]) -> None:
    """Refuse a user's own metric that does not say what it must."""
    problem = None
    if not kind.name.isidentifier():
        problem = f"its name is {kind.name!r}; give it one of letters, digits and _: name = '...'"
    elif kind.name in {*known(), *BEYOND.renamed}:
        problem = f"its name {kind.name!r} is that of a metric of the lab; give it another one"
    elif not isinstance(kind.higher_is_better, bool):
        problem = "it does not say what is better: set higher_is_better = True or False"
    elif kind.__abstractmethods__:
        problem = f"it lacks the method {', '.join(sorted(kind.__abstractmethods__))}"
    elif min(ks) < kind.least_k:
        problem = f"it needs at least {kind.least_k} places, and k is {min(ks)}"
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
            f"evaluation.metrics: '{reading[0]}' needs what each target is worth; name a numeric "
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
            f"evaluation.missing_value={config.missing_value:g}: is read with "
            "evaluation.value_feature alone; name that, or set this to null"
        )
