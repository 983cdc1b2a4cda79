"""Open options: a name of the lab, or a user's class with options.

A metric, an optimizer or a sampler is chosen in either form::

    recipe.optimizer=adam
    recipe.optimizer={_target_: my_optimizers.Lion, beta: 0.9}

A component annotates such an option ``Annotated[Chosen, OPTIMIZERS]``, where ``OPTIMIZERS`` is a
`Choice` with all names. Annotations are parsed, not run, so a `Choice` is written as a literal call
(see `recsys_lab.config.schema`).
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

Chosen = str | Mapping[str, Any]
"""The value of an open option: a name, or a node with ``_target_``."""


@dataclass(frozen=True, eq=False)  # hashed by identity, as metadata of annotations must be
class Choice:
    """The allowed values of an open option.

    Attributes:
        kind: readable name, e.g. ``optimizer``.
        package: package of the lab with the classes of this kind.
        names: name -> ``module.Class`` below `package`.
        base: ``module.Class`` below `package` that all classes of this kind derive from, or None.
        renamed: old name -> current name.
    """

    kind: str
    package: str
    names: Mapping[str, str]
    base: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.kind

    def describe(self) -> str:
        """The allowed values, readable."""
        return f"one of {', '.join(map(repr, self.names))} or a mapping with _target_"

    def target(self, chosen: Chosen) -> str:
        """The dotted class of a checked value."""
        if isinstance(chosen, str):
            return f"{self.package}.{self.names[self.renamed.get(chosen, chosen)]}"
        return str(chosen["_target_"])


def choice_of(annotation: Any) -> Choice | None:
    """The `Choice` in an annotation, or None."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((part for part in get_args(annotation)[1:] if isinstance(part, Choice)), None)


def chosen_values(value: Any, annotation: Any, path: str) -> Iterator[tuple[str, Chosen, Choice]]:
    """Every open value in the value of an option, with its path.

    Args:
        value: plain value that matches the annotation.
        annotation: type of the option.
        path: path of the option, e.g. ``evaluation.metrics``; the path of a value may be
            ``evaluation.metrics[1]``.
    """
    choice, origin, arguments = choice_of(annotation), get_origin(annotation), get_args(annotation)
    if choice is not None:
        if isinstance(value, str | Mapping):
            yield path, value, choice
    elif origin is list and isinstance(value, list):
        for index, inner in enumerate(value):
            yield from chosen_values(inner, arguments[0], f"{path}[{index}]")
    elif origin is dict and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from chosen_values(inner, arguments[1], f"{path}.{key}")
    elif origin in (Annotated, Union, types.UnionType):
        for part in arguments[:1] if origin is Annotated else arguments:
            yield from chosen_values(value, part, path)


def say(chosen: Chosen) -> str:
    """The value of an open option, readable: ``adam``, ``my_optimizers.Lion(beta=0.9)``."""
    if isinstance(chosen, str):
        return chosen
    options = ", ".join(f"{key}={value}" for key, value in chosen.items() if key != "_target_")
    return f"{chosen['_target_']}({options})"
