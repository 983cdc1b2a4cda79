"""Check a value against a type, strictly, with readable messages."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen

from recsys_lab.config.choice import choice_of
from recsys_lab.config.errors import did_you_mean

WORDS = {int: "an int", float: "a float", bool: "true or false", str: "text", type(None): "null"}
BOUNDS = (
    (Ge, "ge", ">="),
    (Gt, "gt", ">"),
    (Le, "le", "<="),
    (Lt, "lt", "<"),
    (MinLen, "min_length", "with length >="),
    (MaxLen, "max_length", "with length <="),
)


def problem_with(value: object, annotation: Any) -> str | None:
    """What is wrong with a value, or None.

    Args:
        value: plain value from YAML (int, float, bool, str, None, list or dict).
        annotation: expected type: plain types, ``X | None``, ``list[X]``, ``dict[K, V]``,
            ``Literal`` or ``Annotated`` with `annotated_types` bounds. Open options
            (`recsys_lab.config.choice`) are only checked for their form.
    """
    # Imported here: pydantic takes 40 ms, which `from recsys_lab.config import UserError` saves.
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError:
        hint = did_you_mean(value, _choices(annotation)) if isinstance(value, str) else "."
        if isinstance(value, str) and value.startswith("{") and "a mapping" in describe(annotation):
            hint = "; write {key: value}, with a space after each colon and keys without quotes."
        return f"expected {describe(annotation)}, got {value!r} ({type(value).__name__}){hint}"
    return None


def describe(annotation: Any) -> str:
    """A readable type: ``an int >= 1``, ``a float or null``, ``one of 'a', 'b'``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if (choice := choice_of(annotation)) is not None:
        return choice.describe()
    if origin is Annotated:
        return " ".join([describe(arguments[0]), _bounds(arguments[1:])]).strip()
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is list:
        return f"a list, each item {describe(arguments[0])}"
    if origin is dict:
        return f"a mapping of {describe(arguments[0])} to {describe(arguments[1])}"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(metadata: tuple[Any, ...]) -> str:
    bounds = [part for bound in metadata for part in (bound if isinstance(bound, Len) else [bound])]
    return " and ".join(
        f"{sign} {getattr(bound, name)}"
        for bound in bounds
        for kind, name, sign in BOUNDS
        if type(bound) is kind
    )


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    return [c for part in get_args(annotation) for c in _choices(part)]
