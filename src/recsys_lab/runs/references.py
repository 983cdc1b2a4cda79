"""Short references to runs, which ``recsys-lab runs`` prints and all verbs take.

A reference is the beginning of a run directory's name: ``130450-1`` for
``runs/2026-11-23/130450-123456-sasrec-shop``. After a folder, as in ``boxes/130450-1``, that folder
is searched, else `RUNS`. More parts of the path can be given, each by its beginning:
``130450-1/0``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from recsys_lab.config import UserError
from recsys_lab.runs.find import LeftOut, run_folders

RUNS = "runs"
"""The folder of runs without ``run_dir``."""
_WHOLE = 12
"""Longest name that is not shortened."""
_FEWEST = 8
_SHORT = 4
"""A shorter name is not told without the folder above it."""
_LISTED = 5


def resolved(option: str, text: str) -> Path | None:
    """The run directory that a reference means; None if it is a path, or means no run.

    Args:
        option: that has the reference, for the message.
        text: as typed.

    Raises:
        UserError: it means several runs.
    """
    if not text or os.path.exists(text):
        return None
    base, rest = _searched(text)
    if not base.is_dir() or not rest:
        return None
    closed: list[LeftOut] = []  # folders that may not be read have no short references
    paths = [folder.relative_to(base) for folder in run_folders(base, closed)]
    found = _meant(rest, paths)
    if len(found) > 1:
        shown = ", ".join(str(base / path) for path in sorted(found)[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise UserError(f"{option}: {text} means {len(found)} runs: {shown}{more}; give more of it")
    return base / found[0] if found else None


def references(base: str, paths: Sequence[str]) -> list[str]:
    """A reference to each run of a folder, as short as the others allow.

    Args:
        base: the folder, as typed.
        paths: of its runs, below it.
    """
    parts = [PurePath(path).parts for path in paths]
    # How many runs have this beginning of their last names: all of a long list are looked up here.
    counts = Counter(beginning for one in parts for beginning in _beginnings(one))
    names = Counter(one[-size:] for one in parts for size in range(1, len(one) + 1))
    return [_with_base(base, _shortest(one, counts, names)) for one in parts]


def references_to(folders: Sequence[Path]) -> list[str]:
    """References to some runs; their paths where they are not below `RUNS`."""
    here = [Path(os.path.relpath(folder)) for folder in folders]
    if not all(folder.is_relative_to(RUNS) for folder in here):
        return [str(folder) for folder in here]
    closed: list[LeftOut] = []
    known = [str(run.relative_to(RUNS)) for run in run_folders(Path(RUNS), closed)]
    short = dict(zip(known, references(RUNS, known), strict=True))
    return [short.get(str(folder.relative_to(RUNS)), str(folder)) for folder in here]


def _shortest(
    parts: tuple[str, ...],
    counts: Counter[tuple[str, ...]],
    names: Counter[tuple[str, ...]],
) -> str:
    for wanted in _beginnings(parts):
        # An exact name wins over beginnings of others, and must not be taken for one.
        is_name = wanted == parts[-len(wanted) :]
        if names[wanted] == 1 if is_name else (counts[wanted] == 1 and not names[wanted]):
            return "/".join(wanted)
    return "/".join(parts)


def _beginnings(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Candidates for a reference, the shortest first: last parts, of which the first is cut."""
    short = len(parts) > 1 and len(parts[-1]) < _SHORT  # the jobs of a multirun: 0, 1, ...
    for size in range(2 if short else 1, len(parts) + 1):
        first, *others = parts[-size:]
        if len(first) > _WHOLE:
            for length in range(_FEWEST, len(first)):
                yield (first[:length], *others)
        yield (first, *others)


def _meant(rest: tuple[str, ...], paths: Sequence[PurePath]) -> list[PurePath]:
    last = [path for path in paths if len(path.parts) >= len(rest)]
    ends = {path: path.parts[-len(rest) :] for path in last}
    exact = [path for path in last if ends[path] == rest]
    first_cut = [
        path for path in last if ends[path][1:] == rest[1:] and ends[path][0].startswith(rest[0])
    ]
    all_cut = [
        path
        for path in last
        if all(whole.startswith(cut) for whole, cut in zip(ends[path], rest, strict=True))
    ]
    return exact or first_cut or all_cut


def _searched(text: str) -> tuple[Path, tuple[str, ...]]:
    """The folder that is searched: the longest existing beginning of the path, or `RUNS`."""
    path = Path(text)
    for folder in path.parents:
        if folder != Path() and folder.is_dir():
            return folder, path.relative_to(folder).parts
    if text.startswith("./"):
        return Path(), path.parts
    return Path(RUNS), path.parts


def _with_base(base: str, reference: str) -> str:
    folder = Path(base)
    if reference in ("", "."):
        return base
    if folder == Path(RUNS):
        return reference
    return f"./{reference}" if folder == Path() else str(folder / reference)
