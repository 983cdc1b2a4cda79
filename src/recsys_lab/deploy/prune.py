"""Deletion of runs without results: what may go, and what must stay.

A run must stay if a process works on it, if it belongs to a sweep, if it is or was the champion of
a registry, if other runs are inside of it, and if another run began from it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.deploy.registry import REGISTRY, Registry
from recsys_lab.runs.failure import never_began
from recsys_lab.runs.find import LeftOut, run_folders
from recsys_lab.runs.record import KILLED, RECORD, Busy, RunRecord, only_process

NEVER_BEGAN, FAILED, INTERRUPTED = "never_began", "failed", "interrupted"
_KINDS = {"failed": FAILED, "interrupted": INTERRUPTED, KILLED: INTERRUPTED}
_DAY = 86_400.0


@dataclass(frozen=True)
class Found:
    """A run of a kind that is to be deleted.

    Attributes:
        folder: the run directory.
        status: of the run.
        kind: `NEVER_BEGAN`, `FAILED` or `INTERRUPTED`.
        size: bytes of its files.
        written: when the record was written, nanoseconds since the epoch.
        kept: why it must stay, or None.
    """

    folder: Path
    status: str
    kind: str
    size: int
    written: int
    kept: str | None


def find_runs(
    folder: Path,
    what: Iterable[str],
    older_than: float,
    registries: Sequence[Path],
    others: Sequence[Path],
    sweep_of: Callable[[Path], Path | None],
) -> list[Found]:
    """The runs of the wanted kinds, in the order of their paths.

    Args:
        folder: searched at any depth.
        what: the kinds.
        older_than: days since the record was written; younger runs are left out.
        registries: folders of registries, besides those below ``folder``.
        others: folders whose runs may have begun from one of ``folder``.
        sweep_of: the sweep that a run directory belongs to, or None.

    Raises:
        UserError: there is no such folder, or a registry is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"dir: {folder}: there is no such folder; give a folder with runs")
    records = dict(_records([folder]))
    parents = _parents({**records, **dict(_records(others))})
    champions = _champions([*registries, *(file.parent for file in folder.rglob(REGISTRY))])
    found = []
    for run, record in records.items():
        kind = kind_of(record)
        is_window = (run.parent / RECORD).exists()
        if (
            kind not in set(what)
            or is_window
            or time.time() - _written(run) / 1e9 < older_than * _DAY
        ):
            continue
        size = sum(path.lstat().st_size for path in run.rglob("*"))
        kept = _reason(run, parents, champions, sweep_of)
        found.append(Found(run, record.status, kind, size, _written(run), kept))
    return found


def kind_of(record: RunRecord) -> str | None:
    """What kind of run without results it is; None for others."""
    return NEVER_BEGAN if never_began(record) else _KINDS.get(record.status)


def delete(found: Found, folder: Path) -> str | None:
    """Delete a run, and folders below ``folder`` that this empties.

    Returns:
        Why it was kept after all, or None.
    """
    try:
        with only_process(found.folder):
            if _written(found.folder) != found.written:
                return "it has changed meanwhile"
            shutil.rmtree(found.folder)
    except Busy:
        return "a process works on it"
    except OSError as error:
        return f"it cannot be deleted ({error})"
    for parent in found.folder.parents:
        if not parent.is_relative_to(folder) or parent == folder:
            break
        with suppress(OSError):  # not empty
            parent.rmdir()
    return None


def _reason(
    run: Path,
    parents: Mapping[Path, Path],
    champions: Mapping[Path, Path],
    sweep_of: Callable[[Path], Path | None],
) -> str | None:
    """Why a run must stay."""
    whole = run.resolve()
    for champion, registry in champions.items():
        if champion.is_relative_to(whole):
            return f"a champion of the registry {registry}"
    for parent, child in parents.items():
        if parent.is_relative_to(whole) and not child.resolve().is_relative_to(whole):
            return f"{child} began from it"
    sweep = sweep_of(run)
    if sweep is not None:
        return f"part of the sweep {sweep}"
    inside = [file.parent for file in run.rglob(RECORD) if file.parent != run]
    if any(not path.name.startswith("window_") for path in inside):
        return "other runs are inside of it"
    return None


def _records(folders: Iterable[Path]) -> Iterator[tuple[Path, RunRecord]]:
    """Every run that can be read; others are never deleted."""
    closed: list[LeftOut] = []
    for folder in folders:
        for run in run_folders(folder, closed) if folder.is_dir() else ():
            with suppress(UserError):
                yield run, RunRecord.load(run)


def _parents(records: Mapping[Path, RunRecord]) -> dict[Path, Path]:
    """Run directory -> a run that began from it."""
    found = {}
    for child, record in records.items():
        for text in _origins(record.values):
            found[Path(text).resolve()] = child
    return found


def _origins(values: Mapping[str, Any]) -> Iterator[str]:
    """Paths of other runs in a record."""
    config = values["config"]
    noted = [config.get("init_from")]
    noted += [(values.get(key) or {}).get("run") for key in ("init_from", "retrain")]
    vectors = (config.get("semantic_ids") or {}).get("vectors")
    noted += vectors if isinstance(vectors, list) else [vectors]
    return (str(text) for text in noted if text)


def _champions(registries: Iterable[Path]) -> dict[Path, Path]:
    """Run directory -> the registry whose champion it is or was."""
    found = {}
    for folder in registries:
        registry = Registry(folder)
        champion = registry.champion()
        for one in (*registry.history(), *([champion] if champion else [])):
            found[one.run.resolve()] = folder
    return found


def _written(run: Path) -> int:
    """When the record was written, nanoseconds since the epoch."""
    return (run / RECORD).stat().st_mtime_ns
