"""Sweeps and comparisons below the folder, from the files that they wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from recsys_lab.config.secrets import scrubbed
from recsys_lab.dashboard.index import SWEEP, Run, id_of
from recsys_lab.dashboard.scan import COMPARISON, PLAN, REPORT, Found


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        id: of its folder.
        folder: below the dashboard's; the value of its runs in the column ``sweep``.
        trials: how many it was asked for; None if its plan cannot be read.
        counts: its runs by status.
        has_report: whether it has one.
    """

    id: str
    folder: str
    trials: int | None
    counts: Mapping[str, int]
    has_report: bool


@dataclass(frozen=True)
class Comparison:
    """What ``recsys-lab compare output=...`` wrote.

    Attributes:
        id: of its folder.
        folder: below the dashboard's.
        systems: their names; empty if the file cannot be read.
        metric: the main one.
        has_report: whether it has one.
    """

    id: str
    folder: str
    systems: Sequence[str]
    metric: str
    has_report: bool


def sweeps_of(found: Found, folder: Path, runs: Sequence[Run]) -> list[Sweep]:
    """The sweeps, with their runs as the index knows them."""
    counts: dict[str, Counter[str]] = {}
    for run in runs:
        if SWEEP in run.row:
            counts.setdefault(run.row[SWEEP], Counter())[run.row["status"]] += 1
    sweeps = []
    for path in found.sweeps:
        name = scrubbed(str(path.relative_to(folder)))
        trials = _noted(path / PLAN).trials
        known = counts.get(name, Counter())
        sweeps.append(Sweep(id_of(path, folder), name, trials, known, (path / REPORT).is_file()))
    return sweeps


def comparisons_of(found: Found, folder: Path) -> list[Comparison]:
    """The comparisons."""
    comparisons = []
    for path in found.comparisons:
        noted = _noted(path / COMPARISON)
        name = scrubbed(str(path.relative_to(folder)))
        has_report = (path / REPORT).is_file()
        comparisons.append(
            Comparison(id_of(path, folder), name, noted.systems, noted.metric, has_report)
        )
    return comparisons


def report_of(found: Found, folder: Path, wanted: str) -> Path | None:
    """The report of a sweep or a comparison; None if there is no such one."""
    for path in (*found.sweeps, *found.comparisons):
        if id_of(path, folder) == wanted and (path / REPORT).is_file():
            return path / REPORT
    return None


@dataclass(frozen=True)
class _Noted:
    """What is shown of a file; the rest of it is not kept."""

    trials: int | None = None
    systems: tuple[str, ...] = ()
    metric: str = ""


def _noted(file: Path) -> _Noted:
    """What is shown of a JSON file; nothing of one that cannot be read."""
    try:
        stat = file.stat()
    except OSError:
        return _Noted()
    return _parsed(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _parsed(file: Path, changed: int, size: int) -> _Noted:
    del changed, size  # another time or size: another content
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):  # half-written, or not of the lab
        return _Noted()
    if not isinstance(content, dict):
        return _Noted()
    options, systems = content.get("options"), content.get("systems")
    trials = options.get("n_trials") if isinstance(options, dict) else None
    named = [one for one in systems if isinstance(one, dict)] if isinstance(systems, list) else []
    return _Noted(
        trials if isinstance(trials, int) else None,
        tuple(scrubbed(str(one.get("name", ""))) for one in named),
        scrubbed(str(content.get("main_metric", ""))),
    )
