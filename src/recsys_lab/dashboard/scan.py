"""Finds runs, sweeps and comparisons below a folder in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recsys_lab.files.faults import reason
from recsys_lab.runs.record import RECORD

PLAN, SUMMARY, COMPARISON = "plan.json", "sweep.json", "comparison.json"
REPORT = "report.html"


@dataclass
class Found:
    """What is below a folder, in the order of the paths.

    Attributes:
        runs: run directories, those that `recsys_lab.runs.find.run_folders` gives.
        sweeps: folders of sweeps, which are above their runs.
        comparisons: folders that ``recsys-lab compare output=...`` wrote.
        closed: folders that cannot be read, and why.
    """

    runs: list[Path] = field(default_factory=list)
    sweeps: list[Path] = field(default_factory=list)
    comparisons: list[Path] = field(default_factory=list)
    closed: list[tuple[Path, str]] = field(default_factory=list)


def scan(folder: Path) -> Found:
    """Search a folder at any depth.

    Links to folders and hidden folders are not followed. Inside a run, only the windows of a
    back-test are searched.

    Args:
        folder: to search; only the names of files are read.
    """
    found = Found()
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                names, inner = _sorted(entries)
        except OSError as error:
            found.closed.append((Path(here), reason(error)))
            continue
        if RECORD in names:
            found.runs.append(Path(here))
            inner = [path for path in inner if os.path.basename(path).startswith("window_")]
        elif PLAN in names or SUMMARY in names:
            found.sweeps.append(Path(here))
        elif COMPARISON in names:
            found.comparisons.append(Path(here))
        waiting += reversed(inner)
    return found


def _sorted(entries: Iterator[os.DirEntry[str]]) -> tuple[set[str], list[str]]:
    """The names in a folder, and the paths of its folders in order."""
    names, folders = set(), []
    for entry in entries:
        names.add(entry.name)
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
    return names, sorted(folders)
