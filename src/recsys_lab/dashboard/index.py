"""The runs below a folder, read again only where their files changed."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from recsys_lab.config.secrets import scrubbed
from recsys_lab.dashboard.scan import Found, scan
from recsys_lab.dashboard.status import RUNNING, status_of
from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.epochs import EPOCHS
from recsys_lab.runs.find import flatten
from recsys_lab.runs.listing import Row, row_of
from recsys_lab.runs.neutral import is_neutral
from recsys_lab.runs.record import RECORD, RunRecord

if TYPE_CHECKING:
    from pathlib import Path

    Stamp = tuple[tuple[int, int, int] | None, ...]

LATEST, SWEEP = "latest", "sweep"
"""Columns that only the dashboard has: the last epoch's metric of a running run; its sweep."""

BUDGET = 0.7
"""Seconds within which the first answer is made of what was read so far."""
_REST = 4  # times the duration of a look at the files: what is left alone after it
_MOST_KNOWN = 200_000  # names with values


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        id: of its path below the folder; the only name that a client can give.
        path: the run directory.
        stamp: times and sizes of its files when they were read.
        row: see `recsys_lab.runs.listing.list_runs`; without secrets.
        settings: the keys of its config that distinguish runs, with their values.
        stored: the status in its record.
        epochs: number of epochs so far.
        note: what else is to be said of its status.
    """

    id: str
    path: Path
    stamp: Stamp
    row: Row
    settings: Mapping[str, Any]
    stored: str
    epochs: int
    note: str


@dataclass(frozen=True)
class Snapshot:
    """The runs at one moment.

    Attributes:
        version: another one whenever a run changed.
        runs: in no order.
        names: of all columns.
        differing: settings with several values; those that most runs have come first.
    """

    version: int
    runs: list[Run]
    names: list[str]
    differing: list[str]


class Index:
    """The runs of a folder.

    Args:
        folder: searched at any depth.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found = Found()
        self.runs: dict[str, Run] = {}
        self._names: Counter[str] = Counter()
        self._values: dict[str, Counter[Any]] = {}
        self.version = 0
        self.unread = 0
        self._snapshot: Snapshot | None = None
        self._clean = _Clean()
        self._next, self._budget = -math.inf, BUDGET
        self._lock = threading.Lock()

    def refresh(self, budget: float | None = None) -> None:
        """Look at the files, and read the records that changed.

        A folder that takes long to search (on a network) is searched less often.

        Args:
            budget: seconds after which no further new record is read; `unread` counts the rest.
                By default short for the first answer, and longer for each further one.
        """
        with self._lock:
            start = time.monotonic()
            if start < self._next:
                return
            self.found = scan(self.folder)
            searched = time.monotonic() - start
            here = {id_of(path, self.folder): path for path in self.found.runs}
            for gone in [known for known in self.runs if known not in here]:
                self._put(gone, None)
            sweeps = {str(path) for path in self.found.sweeps}
            self._budget = 2 * self._budget if self.unread else BUDGET
            end = start + (self._budget if budget is None else budget)
            self.unread = 0
            for key, path in here.items():
                if key not in self.runs and time.monotonic() > end:
                    self.unread += 1
                else:
                    self._look(key, path, sweeps)
            self._next = -math.inf if self.unread else time.monotonic() + _REST * searched

    def snapshot(self) -> Snapshot:
        """What is known now."""
        with self._lock:
            if self._snapshot is None or self._snapshot.version != self.version:
                runs, names = list(self.runs.values()), sorted(self._names)
                self._snapshot = Snapshot(self.version, runs, names, self._differing())
            return self._snapshot

    def _differing(self) -> list[str]:
        counts = {key: sum(of.values()) for key, of in self._values.items() if len(of) > 1}
        return sorted(counts, key=lambda key: (-counts[key], key))

    def _look(self, key: str, path: Path, sweeps: set[str]) -> None:
        known, stamp = self.runs.get(key), _stamp(path)
        if known is None or known.stamp != stamp:
            self._put(key, self._read(key, path, stamp, sweeps))
        elif known.stored == RUNNING:
            alive = _with_status(known)
            if (alive.note, alive.row["status"]) != (known.note, known.row["status"]):
                self._put(key, alive)

    def _read(self, key: str, path: Path, stamp: Stamp, sweeps: set[str]) -> Run:
        row, record = row_of(path, self.folder)
        config: Mapping[str, Any] = {}
        stored, epochs, note = str(row["status"]), 0, ""
        if isinstance(record, str):
            note = scrubbed(record).replace(f"{path}{os.sep}", "")
        else:
            stored, config = str(record.values["status"]), flatten(record.values["config"])
            history = record.values.get("epochs") or []
            epochs = len(history)
            if stored == RUNNING and history:
                row |= {LATEST: history[-1].get(row.get("recipe.monitor"))}
        above = next((parent for parent in path.parents if str(parent) in sweeps), None)
        row |= {} if above is None else {SWEEP: str(above.relative_to(self.folder))}
        row = {name: value for name, value in row.items() if not isinstance(value, Mapping)}
        pairs = dict(zip(row, self._clean(row.items()), strict=True))
        known = (pairs[name] for name in config if name in pairs and not is_neutral(name))
        settings = {name: _hashable(value) for name, value in known}
        run = Run(key, path, stamp, dict(pairs.values()), settings, stored, epochs, note)
        return _with_status(run) if stored == RUNNING else run

    def _put(self, key: str, run: Run | None) -> None:
        """Replace, add or remove a run."""
        old = self.runs.pop(key, None)
        for one, sign in ((old, -1), (run, 1)):
            if one is None:
                continue
            self._count(one, sign)
        if run is not None:
            self.runs[key] = run
        self.version += 1

    def _count(self, run: Run, sign: int) -> None:
        for name in run.row:
            self._names[name] += sign
            if not self._names[name]:
                del self._names[name]
        for name, value in run.settings.items():
            of = self._values.setdefault(name, Counter())
            of[value] += sign
            if not of[value]:
                del of[value]
            if not of:
                del self._values[name]


@lru_cache(maxsize=100_000)
def id_of(path: Path, folder: Path) -> str:
    """A short name of a path that reveals nothing and leads nowhere but to what was found."""
    relative = os.fsencode(os.path.relpath(path, folder))
    return hashlib.sha256(relative).hexdigest()[:12]


def epochs_of(run: Run) -> list[dict[str, Any]]:
    """The epochs of a run so far; empty if its record cannot be read any more."""
    _, record = row_of(run.path, run.path)
    return list(record.values.get("epochs") or []) if isinstance(record, RunRecord) else []


def _with_status(run: Run) -> Run:
    """A run whose record says that it is running, with its status of now."""
    status, note = status_of(run.path, run.epochs, run.row["seconds"])
    return replace(run, row={**run.row, "status": status}, note=note)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else format_value(value)


class _Clean:
    """Masks the secrets in names and values; most of them are those of the runs before."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, type, Any], tuple[str, Any]] = {}

    def __call__(self, items: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        keys = [(name, type(value), _hashable(value)) for name, value in items]
        new = [key for key in keys if key not in self._known]
        for key, masked in zip(new, scrubbed([{name: v} for name, _, v in new]), strict=True):
            [(name, value)] = masked.items()
            self._known[key] = (sys.intern(name), value)
        return [self._known[key] for key in keys]


def _stamp(path: Path) -> Stamp:
    return tuple(_stamp_of(path / name) for name in (RECORD, EPOCHS))


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
