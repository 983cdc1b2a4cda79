"""Advice for a key that does not exist: what a name of another framework is called here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin

from recsys_lab.config.choice import choice_of
from recsys_lab.config.errors import did_you_mean
from recsys_lab.config.help.habits import habits_of
from recsys_lab.config.help.value_habits import metric_here, value_here
from recsys_lab.config.relations import MetricOf, metric_rules
from recsys_lab.config.values import describe, problem_with

_OF_SWEEPS = ("sweep", "search")
_PATHS = ("resume", "init_from")
"""Keys whose value is a run of the lab, not a file of another framework."""
_PLAIN = re.compile(r"[\w@/.-]+")
"""A value that needs no quotes, neither for Hydra nor for a shell."""


class Known(Protocol):
    """The keys and choices of a command's config."""

    def types(self, group: str) -> Mapping[str, Any]:
        """The options of a group, in this config, with their types; none if there is no group."""
        ...

    def choices(self, group: str) -> Sequence[str]:
        """The choices of a group; none if there is no such group."""
        ...

    def metrics(self, rule: MetricOf) -> Sequence[str]:
        """The names of metrics that this config computes."""
        ...


@dataclass(frozen=True)
class Adviser:
    """Says what a key of another framework is called here.

    Args:
        top: the top-level keys of the command.
        known: its groups: an option that they do not have in this config is not advised.
    """

    top: Mapping[str, Any]
    known: Known

    def advice(self, path: str, value: object) -> str:
        """A sentence; empty if the name is not known, or the command has no such key.

        Args:
            path: dotted key that the config does not have.
            value: its value if it is a scalar, else None.
        """
        if "recipe" not in self.top:  # the names are those of training
            return ""
        for habit in habits_of(path):
            text = self._key(habit.key, value) if habit.key else habit.use
            if habit.key == path or (habit.key and not text):
                continue
            note = f" ({habit.note})" if habit.note and text else habit.note
            return f"here it is {text}{note}." if text else f"{note}."
        group = path.partition(".")[0]
        if group in _OF_SWEEPS and group not in self.top:
            return f"{group} is a group of recsys-lab sweep only."
        return ""

    def _key(self, key: str, value: object) -> str:
        """The lab's key, with the value if it is valid; empty if this config has no such key."""
        group, _, option = key.partition(".")
        if (group in _OF_SWEEPS and group not in self.top) or key in _PATHS:
            return key
        if not option and (names := self.known.choices(group)):
            return _choice(group, value, names)
        annotation = self.known.types(group).get(option) if option else self.top.get(group)
        if annotation is None:
            return ""
        typed = _written(value)
        for rule in metric_rules(annotation):
            computed = self.known.metrics(rule)
            here = metric_here(typed, rule.prefix, computed)
            return f"{key}={here}" if here else f"{key}, one of {', '.join(computed)}"
        if here := value_here(key, typed, _allowed(annotation)):
            return f"{key}={here}"
        for written in dict.fromkeys([typed, typed.lower()]):
            if _PLAIN.fullmatch(written) and _fits(value, written, annotation):
                return f"{key}={written}"
        return f"{key}, {describe(annotation)}" if option else key


def _fits(value: object, written: str, annotation: Any) -> bool:
    choice = choice_of(annotation)
    if choice is not None:
        return written in choice.names
    return problem_with(written if isinstance(value, str) else value, annotation) is None


def _allowed(annotation: Any) -> Sequence[str]:
    """The values of an option that has a choice of words."""
    choice = choice_of(annotation)
    if choice is not None:
        return [*choice.names]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return [*map(str, get_args(annotation))] if get_origin(annotation) is Literal else ()


def _choice(group: str, value: object, names: Sequence[str]) -> str:
    """The group, with its choice if there is one of that name."""
    typed = _written(value)
    for here in (typed, typed.lower(), value_here(group, typed, names)):
        if here in names:
            return f"{group}={here}"
    hint = did_you_mean(value, names) if isinstance(value, str) else "."
    near = hint.removesuffix("?") if hint != "." else ""
    return f"the group {group}: {', '.join(names)}{near}"


def _written(value: object) -> str:
    """A scalar as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
