"""The types of a record's fields, checked when a record is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from recsys_lab.config import UserError


class _Compute(BaseModel, extra="allow"):
    seconds: float = 0.0
    prepare_seconds: float = 0.0
    peak_memory_mebibytes: float = 0.0


class _Protocol(BaseModel, extra="allow"):
    fingerprint: str = ""
    fields: dict[str, Any] = {}


class Fields(BaseModel, extra="allow", strict=True):
    """The fields of a record that the lab reads; other versions may have fewer or more."""

    name: str = ""
    status: str = ""
    created: str = ""
    job: str | None = None
    seed: int | None = None
    command: list[Any] | None = None
    config: dict[str, Any] = {}
    code: dict[str, Any] | None = None
    identity: dict[str, str] | None = None
    metrics: dict[str, dict[str, str | bool]] | None = None
    machine: dict[str, Any] | None = None
    resolved: dict[str, str] | None = None
    compute: _Compute = _Compute()
    data: dict[str, Any] | None = None
    protocol: _Protocol | None = None
    split: dict[str, Any] | None = None
    failure: dict[str, str] | None = None
    leaks: list[dict[str, Any]] | None = None
    trackers: dict[str, str] | None = None
    epochs: list[dict[str, float | None]] | None = None
    best: dict[str, Any] | None = None
    refit: dict[str, Any] | None = None
    retrain: dict[str, Any] | None = None
    parameters: int | None = None
    validation: dict[str, float] | None = None
    test: dict[str, float] | None = None
    intervals: dict[str, list[float]] | None = None
    off_policy: list[dict[str, Any]] | None = None
    windows: list[dict[str, Any]] | None = None


def refuse_other_types(path: Path, values: Mapping[str, Any]) -> None:
    """Check the types of a record's fields.

    Args:
        path: of the record.
        values: its content.

    Raises:
        UserError: a field has a wrong type.
    """
    try:
        Fields.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"{path}: not a run record ({where}: {first['msg']}); was the file changed by hand?"
        raise UserError(msg) from None
