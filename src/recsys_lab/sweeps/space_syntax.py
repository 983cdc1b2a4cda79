"""Reads what is searched from a config's ``search.params``.

The syntax is that of Hydra's sweeps: ``choice(32,64)``, ``range(1,5)``, ``range(8,64,step=8)``,
``interval(0,0.5)``, ``int(interval(1,8))``, ``tag(log,interval(1e-4,1e-2))``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Sweep,
)
from hydra.errors import HydraException

from recsys_lab.config import UserError
from recsys_lab.sweeps.space import Dimension, Scalar, Space

_KEY = re.compile(r"\+{0,2}[A-Za-z_][\w./@-]*")
SYNTAX = (
    "choice(a,b), range(1,5), interval(0,0.5), int(interval(1,8)), tag(log,interval(1e-4,1e-2))"
)


def read_space(params: Mapping[str, Any]) -> Space:
    """The space of a config's ``search.params``.

    Args:
        params: dotted key -> text, or -> ``{space: text, when: {key: value}}``; null removes a
            key.

    Raises:
        UserError: nothing is searched, or a space cannot be parsed.
    """
    dimensions = [_dimension(key, value) for key, value in params.items() if value is not None]
    if not dimensions:
        raise UserError(
            "search.params: nothing is searched; choose search=NAME, or search a key, e.g. "
            "'search.params.model.hidden_dim=choice(32,64)'"
        )
    free = {dimension.key: dimension for dimension in dimensions if not dimension.when}
    for dimension in dimensions:
        for key, value in dimension.when.items():
            known = key in free and (free[key].every is None or value in (free[key].every or ()))
            if not known:
                raise UserError(
                    f"search.params.{dimension.key}.when: {key}={value} is never chosen; use a "
                    "value of a key that is searched without a condition: "
                    f"{', '.join(free) or 'none'}"
                )
    return Space(tuple(sorted(dimensions, key=lambda dimension: bool(dimension.when))))


def _dimension(key: str, given: Any) -> Dimension:
    where = f"search.params.{key}"
    if not _KEY.fullmatch(key) or re.split(r"[./]", key.lstrip("+"))[0] == "hydra":
        raise UserError(
            f"{where}: {key!r} is not a key of a run's config, expected e.g. model.dropout"
        )
    text, when = given, {}
    value = given if isinstance(given, Mapping) else _parsed(key, given)
    if isinstance(value, Mapping):  # on the command line it is a text until it is parsed
        _check_mapping(where, value)
        text, when = value["space"], dict(_leaves(value.get("when") or {}))
        value = _parsed(key, text)
    return _checked(where, text, _from_sweep(key, value, when))


def _parsed(key: str, text: Any) -> Any:
    """The value of a text in Hydra's syntax; anything else is returned as it is."""
    plain = text.text if isinstance(text, QuotedString) else text
    if isinstance(plain, Sweep):
        return plain
    try:
        return OverridesParser.create().parse_override(f"{key}={plain}").value()
    except HydraException as error:
        raise UserError(
            f"search.params.{key}: got '{plain}', which cannot be parsed ({error}); "
            f"expected {SYNTAX}"
        ) from None


def _check_mapping(where: str, given: Mapping[str, Any]) -> None:
    form = "{when: {KEY: VALUE}, space: choice(a,b)}"
    if "space" not in given:
        raise UserError(
            f"{where}: got a mapping without space; write {form}, and each key with dots, e.g. "
            "model.hidden_dim"
        )
    unknown = set(given) - {"space", "when"}
    if unknown:
        raise UserError(f"{where}: got {', '.join(unknown)}, expected space and when only")
    if not isinstance(given.get("when") or {}, Mapping):
        raise UserError(f"{where}.when: got '{given['when']}', expected {form}")


def _leaves(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _from_sweep(key: str, value: Any, when: Mapping[str, Scalar]) -> Dimension | None:
    if isinstance(value, ChoiceSweep):
        return Dimension(key, tuple(_plain(v) for v in value.list), when=when)
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        return Dimension(
            key,
            low=value.start,
            high=value.end,
            log="log" in value.tags,
            integer=isinstance(value.start, int),
            when=when,
        )
    if isinstance(value, RangeSweep):
        assert value.start is not None
        assert value.stop is not None
        step = value.step
        integer = all(isinstance(v, int) for v in (value.start, value.stop, step))
        last = value.start + step * (math.ceil((value.stop - value.start) / step - 1e-9) - 1)
        return Dimension(
            key,
            low=value.start,
            high=last,
            step=step,
            integer=integer,
            log="log" in value.tags,
            when=when,
        )
    return None


def _checked(where: str, text: Any, dimension: Dimension | None) -> Dimension:
    if dimension is None:
        raise UserError(f"{where}: got '{text}', a single value; expected {SYNTAX}")
    if not dimension.values:
        if dimension.high < dimension.low:
            raise UserError(f"{where}: got '{text}', whose end is below its start")
        if dimension.log and dimension.low <= 0:
            raise UserError(f"{where}: got '{text}'; tag(log,...) needs numbers above 0")
        if dimension.log and dimension.step is not None:
            raise UserError(
                f"{where}: got '{text}'; tag(log,...) cannot be used for a range, which has "
                "steps; use interval(a,b)"
            )
    if len(dimension.values) != len(set(map(str, dimension.values))):
        raise UserError(f"{where}: got '{text}', which has a duplicate value; list each once")
    return dimension


def _plain(value: Any) -> Scalar:
    if isinstance(value, QuotedString):
        return value.text
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict) and "_target_" in value:  # of an open option, as it is typed
        return str(Override._get_value_element_as_str(value))
    raise UserError(
        f"search.params: got the choice {value!r}, expected a single value (no list or mapping)"
    )
