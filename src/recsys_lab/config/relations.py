"""What a component requires of other components, stated by its class or its ``Config``.

Both are read from the sources, so that a config is refused before anything is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from recsys_lab.config.choice import chosen_values
from recsys_lab.config.errors import UserError, did_you_mean
from recsys_lab.config.help.value_habits import metric_here
from recsys_lab.config.schema import Schema, has_method, stated

if TYPE_CHECKING:
    from omegaconf import DictConfig

Rule = TypeVar("Rule")
Problem = tuple[str, str]
"""The path of an option or component, and what is wrong with it."""


@dataclass(frozen=True)
class Limit:
    """Annotation of a number that options of other components limit.

    Attributes:
        sign: ">=": the number is at least as large as each of the options; "<=": at most.
        options: their paths, e.g. ``evaluation.max_k``: numbers or lists of numbers; one that the
            config does not have is not compared.
        cure: what to do, for the message.
    """

    sign: Literal[">=", "<="]
    options: tuple[str, ...]
    cure: str


@dataclass(frozen=True)
class ForModels:
    """Annotation of a component that a model has only if its class has, or lacks, a method.

    Attributes:
        method: name of the method.
        has: whether models with the method have the component, or those without it.
        reason: of the other models, for the message: why they have none.
    """

    method: str
    has: bool
    reason: str


@dataclass(frozen=True)
class OptionForModels:
    """Annotation of a component that must have some option if the model's class states a trait.

    Attributes:
        trait: class attribute of models, true for those that need the option.
        option: name of the option.
        reason: what such a model does, for the message.
    """

    trait: str
    option: str
    reason: str


@dataclass(frozen=True)
class MetricOf:
    """Annotation of the name of a metric, e.g. ``val/ndcg@10``, that other options choose.

    Not compared for a model that is fitted in one pass.

    Attributes:
        prefix: of the name.
        metrics: path of the metrics.
        ks: path of their list lengths.
    """

    prefix: str
    metrics: str
    ks: str


@dataclass(frozen=True)
class OfTrainedModels:
    """Annotation of an option that may only be set for a model that is trained, not fitted.

    Attributes:
        reason: for the message, after the name of a fitted model.
    """

    reason: str


@dataclass(frozen=True)
class NotWith:
    """Annotation of an option with a value that does not go with a value of another option.

    Attributes:
        value: of the annotated option.
        option: path of the other.
        other: its value.
        cure: what to do, for the message.
    """

    value: str
    option: str
    other: str
    cure: str


def metric_problems(
    cfg: DictConfig,
    schemas: Mapping[str, Schema],
    types_of: Callable[[str], Mapping[str, Any]],
) -> Iterator[Problem]:
    """Names of metrics that the config does not compute.

    Args:
        cfg: the composed config.
        schemas: the schema of each component.
        types_of: see `metric_names`.
    """
    if "model" not in schemas or has_method(cfg.model["_target_"], "fit"):
        return
    for key, schema in schemas.items():
        for option, annotation in schema.types.items():
            for rule in metric_rules(annotation):
                given, allowed = _value(cfg, f"{key}.{option}"), metric_names(cfg, rule, types_of)
                if isinstance(given, str) and allowed and given not in allowed:
                    here = metric_here(given, rule.prefix, allowed)
                    hint = f"; here it is {here!r}." if here else did_you_mean(given, allowed)
                    yield (
                        f"{key}.{option}",
                        f"got {given!r}, which is not computed{hint} Use one of "
                        f"{', '.join(allowed)}, or extend {rule.metrics} and {rule.ks}.",
                    )


def metric_rules(annotation: Any) -> list[MetricOf]:
    """What an annotation says about the names of metrics."""
    return _metadata(annotation, MetricOf)


def metric_names(
    cfg: DictConfig, rule: MetricOf, types_of: Callable[[str], Mapping[str, Any]]
) -> list[str]:
    """The names that a config computes; none if they cannot be read, as reported elsewhere.

    Args:
        cfg: the composed config.
        rule: where the metrics are.
        types_of: the options of a component with their types; none if there is no such component.
    """
    key, _, option = rule.metrics.partition(".")
    metrics, ks, types = _value(cfg, rule.metrics), _value(cfg, rule.ks), types_of(key)
    if not types or not isinstance(metrics, list) or not isinstance(ks, list):
        return []
    names = []
    for _, chosen, choice in chosen_values(metrics, types[option], rule.metrics):
        if isinstance(chosen, str) and chosen not in choice.names:
            return []
        target = choice.target(chosen)
        try:
            name, has_k = stated(target, "name"), stated(target, "has_k")
        except UserError:
            return []
        names += [f"{name}@{k}" for k in ks] if has_k is not False else [name]
    return [f"{rule.prefix}{name}" for name in names]


def limit_problems(cfg: DictConfig, schemas: Mapping[str, Schema]) -> Iterator[Problem]:
    """Options beyond the limits that options of other components set.

    Args:
        cfg: the composed config, whose options have the types of their schemas.
        schemas: the schema of each component.
    """
    for key, schema in schemas.items():
        for option, annotation in schema.types.items():
            path = f"{key}.{option}"
            number = _value(cfg, path)
            for limit in _metadata(annotation, Limit):
                if _is_number(number):
                    yield from _beyond(cfg, path, number, limit)


def model_problems(
    cfg: DictConfig,
    top: Schema,
    schemas: Mapping[str, Schema],
    elsewhere: Callable[[str, str], str],
) -> Iterator[Problem]:
    """Components that this model does not have, those that it lacks, and unsuitable ones.

    Args:
        cfg: the composed config.
        top: the schema of the command.
        schemas: the schema of each component.
        elsewhere: other choices of a group that have an option, as text; empty if none has.
    """
    target, name = cfg.model["_target_"], schemas["model"].name
    for key, kind in top.types.items():
        for rule in _metadata(kind, ForModels):
            has_it, needs_it = key in cfg, has_method(target, rule.method) == rule.has
            if has_it and not needs_it:
                yield key, f"{name} {rule.reason}; leave {key}= out, or use another model."
            elif needs_it and not has_it:
                yield key, f"missing; {name} needs it: choose one with {key}=..."
        for need in _metadata(kind, OptionForModels):
            if key not in schemas or need.option in schemas[key].types:
                continue
            if stated(target, need.trait):
                others = elsewhere(key, need.option) or repr(need.option)
                cure = f"use one that has {others}, or another model"
                has_none = f"{schemas[key].name} has no option {need.option!r}"
                yield key, f"{name} {need.reason}, and {has_none}; {cure}."


def training_problems(cfg: DictConfig, schemas: Mapping[str, Schema]) -> Iterator[Problem]:
    """Options that exclude one another, and those that a model fitted in one pass does not have.

    Args:
        cfg: the composed config.
        schemas: the schema of each component.
    """
    for key, schema in schemas.items():
        for option, annotation in schema.types.items():
            path = f"{key}.{option}"
            for one in _metadata(annotation, NotWith):
                if (_value(cfg, path), _value(cfg, one.option)) == (one.value, one.other):
                    yield path, f"got {one.value} with {one.option}={one.other}; {one.cure}."
    if "model" not in schemas or not has_method(cfg.model["_target_"], "fit"):
        return
    name = schemas["model"].name
    for key, schema in schemas.items():
        for option, annotation in schema.types.items():
            for rule in _metadata(annotation, OfTrainedModels):
                if _value(cfg, f"{key}.{option}") is not None:
                    yield f"{key}.{option}", f"{name} is fitted in one pass, and {rule.reason}."


def _beyond(cfg: DictConfig, path: str, number: float, limit: Limit) -> Iterator[Problem]:
    """The problem with a number that the strictest of some options does not allow."""
    pick, words = (max, "at least") if limit.sign == ">=" else (min, "at most")
    found = {}
    for option in limit.options:
        value = _value(cfg, option)
        numbers = [n for n in (value if isinstance(value, list) else [value]) if _is_number(n)]
        if numbers:
            found[option] = pick(numbers)
    if not found:
        return
    strictest = pick(found, key=lambda option: found[option])
    bound = found[strictest]
    if number != pick(number, bound):
        because = f"{strictest}={_value(cfg, strictest)}"
        yield path, f"got {number}, expected {words} {bound}, because of {because}; {limit.cure}."


def _value(cfg: DictConfig, path: str) -> Any:
    """The plain value at a path; None if there is none, or none that can be resolved."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        value = OmegaConf.select(cfg, path)
        return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return None  # reported with the option


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _metadata(annotation: Any, kind: type[Rule]) -> list[Rule]:
    """The metadata of one kind in an annotation."""
    if get_origin(annotation) is not Annotated:
        return []
    return [part for part in get_args(annotation)[1:] if isinstance(part, kind)]
