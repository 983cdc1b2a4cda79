"""Check a composed config: every problem at once, each with its path and its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Protocol, get_args, get_origin

from recsys_lab.config.choice import Choice, Chosen, chosen_values
from recsys_lab.config.errors import UserError, closest, first_line, report
from recsys_lab.config.help.advice import Adviser
from recsys_lab.config.help.value_habits import value_hint
from recsys_lab.config.relations import (
    MetricOf,
    limit_problems,
    metric_names,
    metric_problems,
    model_problems,
    training_problems,
)
from recsys_lab.config.schema import Schema, schema_of_dataclass, schema_of_target
from recsys_lab.config.values import describe, problem_with

if TYPE_CHECKING:
    from omegaconf import DictConfig


_OWN_FILES = "data=table"
"""The choice that most users mean who type an option of many sources, e.g. ``data.path``."""


class Component:
    """Marks a top-level key of a command's schema as a component: a node with ``_target_``."""


class Sources(Protocol):
    """Where the values of a config came from, for the checker's messages."""

    def origin(self, path: str) -> str:
        """Where the value at a dotted path was set, in brackets, or an empty string."""
        ...

    def elsewhere(self, group: str, option: str) -> str:
        """Other choices of a group that have such an option, as text; empty if none has."""
        ...

    def groups(self) -> list[str]:
        """The config groups; some of them (``experiment``) are not top-level keys."""
        ...

    def choices(self, group: str) -> list[str]:
        """The choices of a config group."""
        ...


def check_config(
    cfg: DictConfig, schema: type[Any] | None = None, sources: Sources | None = None
) -> None:
    """Check every component and every top-level value of a composed config.

    Args:
        cfg: the composed config, without the ``hydra`` node.
        schema: dataclass of the command's top-level keys, components marked `Component`;
            without it only the components are checked.
        sources: where values came from.

    Raises:
        UserError: one message with all problems.
    """
    problems = find_problems(cfg, schema, sources)
    if problems:
        raise UserError(report(problems))


def find_problems(
    cfg: DictConfig, schema: type[Any] | None = None, sources: Sources | None = None
) -> list[str]:
    """The problems that `check_config` reports, one text each."""
    return list(_Checker(cfg, schema, sources).problems())


class _Checker:
    def __init__(self, cfg: DictConfig, schema: type[Any] | None, sources: Sources | None) -> None:
        self.cfg = cfg
        self.sources = sources
        self.top = schema_of_dataclass(schema, schema.__name__) if schema else None
        self.schemas: dict[str, Schema] = {}

    def problems(self) -> Iterator[str]:
        # Components first: a typo at the top level may mean an option of one of them.
        of_components = [p for key in self._component_keys() for p in self._component(key)]
        if self.top:
            yield from self._top_level(self.top)
        yield from of_components
        yield from self._between_components()

    def _component_keys(self) -> list[str]:
        from omegaconf import DictConfig

        keys = set(self.cfg.keys())  # `in` would not see a value that is missing (???)
        if self.top:
            return [k for k, kind in self.top.types.items() if is_component(kind) and k in keys]
        return [str(k) for k in self.cfg if isinstance(self.cfg._get_node(k), DictConfig)]

    def _component(self, key: str) -> Iterator[str]:
        from omegaconf import DictConfig, OmegaConf

        node = None if OmegaConf.is_missing(self.cfg, key) else self.cfg[key]
        if not isinstance(node, DictConfig) or "_target_" not in node:
            got = "nothing" if node is None else repr(node)
            yield self._say(key, f"expected a mapping with _target_, got {got}.")
            return
        try:
            schema = schema_of_target(node["_target_"], key)
        except (UserError, ImportError) as error:
            yield self._say(f"{key}._target_", str(error))
            return
        self.schemas[key] = schema
        yield from self._options(key, node, schema)

    def _options(self, key: str, node: DictConfig, schema: Schema) -> Iterator[str]:
        meant: set[str | None] = set()
        for option in [str(o) for o in node if o != "_target_"]:
            path = f"{key}.{option}"
            if option in schema.types:
                yield from self._value(path, node, option, schema.types[option])
                continue
            guess = closest(option, schema.types)
            meant.add(guess)
            yield self._say(path, self._no_option(key, option, guess, schema))
        given = {str(key) for key in node.keys()}  # noqa: SIM118 - `in` does not see ???
        for option in schema.types:
            if option in schema.required - given - meant:
                what = f"missing; {schema.name} needs it, and no config sets it."
                yield self._say(f"{key}.{option}", what, f"{key}._target_")

    def _no_option(self, key: str, option: str, guess: str | None, schema: Schema) -> str:
        text = f"{schema.name} has no option {option!r}"
        below = _leaves(self.cfg[key], option, f"{key}.") if "." not in key else ()
        meant = next(filter(None, (self._advice(path, parent) for path, parent in below)), "")
        if meant:
            return f"{text}; {meant}"
        elsewhere = "" if guess else self._elsewhere(key, option)
        if guess:
            text += f"; did you mean {guess!r}?"
        elif elsewhere.startswith(f"{option!r} ") and _OWN_FILES in elsewhere:
            return f"{text}; add {_OWN_FILES}, which has it and reads files of your own."
        elif elsewhere:
            text += f"; did you mean {elsewhere}?"
        else:
            text += "."
        return f"{text} Options: {', '.join(schema.types) or 'none'}."

    def _top_level(self, top: Schema) -> Iterator[str]:
        for key in [str(k) for k in self.cfg]:
            if key not in top.types:
                yield from self._unknown(key, top)
            elif not is_component(top.types[key]):
                yield from self._value(key, self.cfg, key, top.types[key])
        given = {str(key) for key in self.cfg.keys()}  # noqa: SIM118 - `in` does not see ???
        for key in top.types:
            if key in top.required - given:
                yield self._say(key, f"missing, and no config sets it; give {key}=...")

    def _between_components(self) -> Iterator[str]:
        """What the components require of one another."""
        for path, what in limit_problems(self.cfg, self.schemas):
            yield self._say(path, what)
        for path, what in metric_problems(self.cfg, self.schemas, self.types):
            yield self._say(path, what)
        for path, what in training_problems(self.cfg, self.schemas):
            yield self._say(path, what)
        if self.top and "model" in self.schemas:
            for path, what in model_problems(self.cfg, self.top, self.schemas, self._elsewhere):
                yield self._say(path, what)

    def _unknown(self, key: str, top: Schema) -> Iterator[str]:
        """A top-level key that the verb does not have, or each key below it with advice."""
        leaves = list(_leaves(self.cfg, key))
        known = {path: self._advice(path, parent) for path, parent in leaves}
        if not any(known.values()):
            yield self._say(key, self._no_key(key, top))
            return
        for path, meant in known.items():
            yield self._say(path, f"no such key; {meant}" if meant else self._no_key(path, top))

    def _advice(self, path: str, parent: DictConfig) -> str:
        """What a name of another framework is called here; empty if it is none."""
        if self.top is None:
            return ""
        value = parent._get_node(path.rpartition(".")[2])._value()  # type: ignore[union-attr]
        plain = value if isinstance(value, str | int | float) else None
        return Adviser(self.top.types, self).advice(path, plain)

    def types(self, group: str) -> Mapping[str, Any]:
        """The options of a component; see `recsys_lab.config.help.advice.Known`."""
        if group not in self.schemas:
            try:
                return schema_of_target(self.cfg[group]["_target_"], group).types
            except (UserError, ImportError, KeyError, TypeError, ValueError):
                return {}
        return self.schemas[group].types

    def choices(self, group: str) -> Sequence[str]:
        """The choices of a group; see `recsys_lab.config.help.advice.Known`."""
        return self.sources.choices(group) if self.sources else ()

    def metrics(self, rule: MetricOf) -> Sequence[str]:
        """The metrics that an option chooses from; see `recsys_lab.config.help.advice.Known`."""
        return metric_names(self.cfg, rule, self.types)

    def _no_key(self, key: str, top: Schema) -> str:
        if self.sources and key in self.sources.groups():
            return (
                "its keys belong to the top level; begin the file with the line "
                "'# @package _global_', before any other comment."
            )
        options = [f"{group}.{key}" for group, s in self.schemas.items() if key in s.types]
        guess = closest(key, [*top.types, *(self.sources.groups() if self.sources else ())])
        if not options and not guess:
            near = {g: closest(key, s.types) for g, s in self.schemas.items()}
            options = [f"{group}.{option}" for group, option in near.items() if option]
        meant = " or ".join(map(repr, options or ([guess] if guess else [])))
        hint = f"; did you mean {meant}?" if meant else "."
        return f"no such key{hint} Keys: {', '.join(top.types)}."

    def _value(self, path: str, node: DictConfig, key: str, annotation: Any) -> Iterator[str]:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        if OmegaConf.is_missing(node, key):
            yield self._say(path, f"missing; give {describe(annotation)}: {path}=...")
            return
        try:
            value = node[key]
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            yield self._say(path, f"cannot be resolved: {first_line(error)}")
            return
        problem = problem_with(value, annotation)
        if problem:
            yield self._say(path, problem)
            return
        for inner, chosen, choice in chosen_values(value, annotation, path):
            yield from self._chosen(inner, chosen, choice)

    def _chosen(self, path: str, chosen: Chosen, choice: Choice) -> Iterator[str]:
        """The problems with one value of an open option, given as a name or a node."""
        from omegaconf import OmegaConf

        if isinstance(chosen, str):
            if chosen not in {*choice.names, *choice.renamed}:
                hint = value_hint(path.partition("[")[0], chosen, [*choice.names])
                yield self._say(path, f"expected {choice.describe()}, got {chosen!r} (str){hint}")
        elif "_target_" not in chosen:
            yield self._say(path, f"expected a mapping with _target_, got {dict(chosen)!r}.")
        else:
            try:
                schema = schema_of_target(chosen["_target_"], choice)
            except (UserError, ImportError) as error:
                yield self._say(f"{path}._target_", str(error))
                return
            yield from self._options(path, OmegaConf.create(dict(chosen)), schema)

    def _elsewhere(self, group: str, option: str) -> str:
        return self.sources.elsewhere(group, option) if self.sources else ""

    def _say(self, path: str, what: str, origin_path: str | None = None) -> str:
        origin_path = (origin_path or path).partition("[")[0]  # lists are given as a whole
        origin = self.sources.origin(origin_path) if self.sources else ""
        return f"{path}: {what}{' ' + origin if origin else ''}"


def _leaves(parent: DictConfig, key: str, prefix: str = "") -> Iterator[tuple[str, DictConfig]]:
    """The dotted path of every value at or below a key, with the node that has it."""
    from omegaconf import DictConfig

    path, node = f"{prefix}{key}", parent._get_node(key)
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing() and node:
        for inner in node.keys():  # noqa: SIM118 - iterating would resolve the values
            yield from _leaves(node, str(inner), f"{path}.")
    else:
        yield path, parent


def is_component(kind: Any) -> bool:
    """Whether a top-level key of this type is a component."""
    return kind is Component or (get_origin(kind) is Annotated and get_args(kind)[0] is Component)
