"""Finds runs below a folder and loads complete records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.files.faults import reason
from recsys_lab.runs.record import RECORD, RunRecord

_ALWAYS = (
    "name",
    "status",
    "seed",
    "created",
    "config.model._target_",
    "config.recipe.monitor",
    "epochs",
    "compute.seconds",
    "compute.peak_memory_mebibytes",
)


_OF_RESULTS = (
    "data.name",
    "data.path",
    "data.fingerprint",
    "protocol.fingerprint",
    "protocol.fields",
)


_OPEN = "change its mode (chmod u+rX), or name the other runs"


@dataclass(frozen=True)
class LeftOut:
    """A run that is left out.

    Attributes:
        folder: of the run.
        reason: why.
    """

    folder: str
    reason: str


def whole_record(folder: Path) -> RunRecord:
    """Read a run directory and check that its record has all required fields.

    Raises:
        UserError: the record is missing, damaged or incomplete.
    """
    record = RunRecord.load(folder)
    has_results = bool(record.values.get("protocol")) and "windows" not in record.values
    wanted = [*_ALWAYS, *(_OF_RESULTS if has_results else ())]
    known = flatten(record.values)
    missing = [
        name
        for name in wanted
        if name not in known and not any(key.startswith(f"{name}.") for key in known)
    ]
    if missing:
        msg = f"{folder / RECORD}: lacks {', '.join(missing)}; was the file changed by hand?"
        raise UserError(f"{msg} Restore it, train again, or leave the run out.")
    return record


def is_smoke_test(record: RunRecord) -> bool:
    """Whether the run was made with ``debug=...``, so that its numbers are no results."""
    return record.values["config"].get("debug") is not None


def run_folders(folder: Path, closed: list[LeftOut] | None = None) -> Iterator[Path]:
    """Run directories in a folder at any depth, in order of their paths.

    Folders inside a run are not searched, except for the windows of a rolling back-test, which are
    runs too.

    Args:
        folder: to search.
        closed: collects the unreadable folders; None makes them an error.

    Raises:
        UserError: a folder cannot be read.
    """
    try:
        is_run = (folder / RECORD).exists()
        inner = sorted(folder.glob("window_*") if is_run else folder.iterdir())
    except OSError as error:
        why = f"cannot be read ({reason(error)})"
        if closed is None:
            raise UserError(f"{folder}: {why}; {_OPEN}") from None
        closed.append(LeftOut(str(folder), why))
        return
    if is_run:
        yield folder
    for path in inner:
        if not path.is_symlink() and path.is_dir() and not path.name.startswith("."):
            yield from run_folders(path, closed)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``; lists and empty mappings are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
