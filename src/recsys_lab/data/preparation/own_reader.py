"""Checks of a user's own reader, whose mistakes would otherwise show up as errors of the engine."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.config.targets import own_source_hash
from recsys_lab.data.preparation.manifest import reader_settings
from recsys_lab.data.raw import RawData, Reader

_GUIDE = "see docs/how-to/add/add-a-dataset.md"


def source_of(reader: Reader) -> dict[str, Any]:
    """Class and content of a source, for the key of the prepared dataset.

    A reader outside the lab counts with the hash of its file, as a change of it may change the
    data; modules that it imports do not.

    Raises:
        UserError: the reader lacks ``config`` or ``source_key``, or its key is not JSON-compatible.
    """
    code = own_source_hash(type(reader))
    if code is not None:
        _check_class(reader)
    key = reader.source_key()
    if code is not None:
        _check_key(reader, key)
    source = {"reader": type(reader).__name__, "config": reader_settings(reader), "key": key}
    return source if code is None else {**source, "code": code}


def check_raw(reader: Reader, raw: Any) -> None:
    """Refuse what an own reader must not return; the lab's are tested.

    Raises:
        UserError: it is no `RawData`, or lacks ids, or has times of another type.
    """
    if own_source_hash(type(reader)) is None:
        return
    where = f"{_name(reader)}.read_raw"
    if not isinstance(raw, RawData):
        raise UserError(f"{where}: got a {type(raw).__name__}, expected a RawData; {_GUIDE}")
    if not isinstance(raw.interactions, pl.DataFrame | pl.LazyFrame):
        return
    schema = raw.interactions.collect_schema()
    for column in ("user_id", "item_id"):
        if column not in schema:
            raise UserError(f"{where}: interactions have no column {column}; {_GUIDE}")
    for column in ("timestamp", "order"):
        if column in schema and not schema[column].is_integer():
            what = "seconds since the epoch, as pl.col(...).dt.epoch('s')"
            what = what if column == "timestamp" else "integers"
            raise UserError(f"{where}: {column}: got {schema[column]}, expected {what}")


def _check_class(reader: Any) -> None:
    config = getattr(reader, "config", None)
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise UserError(
            f"{_name(reader)}: self.config is not its Config; set it in __init__(self, config); "
            f"{_GUIDE}"
        )
    for method in ("source_key", "read_raw"):
        if not callable(getattr(reader, method, None)):
            raise UserError(f"{_name(reader)}: lacks the method {method}; {_GUIDE}")


def _check_key(reader: Reader, key: Any) -> None:
    try:
        if not isinstance(key, dict):
            raise TypeError(f"got {key!r}, expected a dict")
        json.dumps(key)
    except (TypeError, ValueError) as error:
        raise UserError(f"{_name(reader)}.source_key: {error}; {_GUIDE}") from error


def _name(reader: object) -> str:
    return f"{type(reader).__module__}.{type(reader).__qualname__}"
