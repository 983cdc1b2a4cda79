"""Arguments of the command line -> finished runs that may stand in one table."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.runs.find import LeftOut, flatten, run_folders, whole_record
from recsys_lab.runs.record import RECORD, RunRecord

SWEEPS = Path("sweeps")
"""Where `recsys-lab sweep` puts its studies unless told otherwise."""


_GIVE = "Give run directories, folders of runs, names of sweeps, or globs."


def find_runs(arguments: Sequence[str]) -> tuple[list[RunRecord], list[LeftOut]]:
    """The finished runs that the arguments mean, each once, in the order of the arguments.

    Args:
        arguments: run directories, folders with runs at any depth, globs of these, and names of
            sweeps, which stand for their folder in `SWEEPS`.

    Returns:
        The runs, and those that are there but have no test result.

    Raises:
        UserError: an argument names nothing, or nothing that is finished is left.
    """
    found: list[RunRecord] = []
    left_out: list[LeftOut] = []
    for folder in find_folders(arguments):
        record = whole_record(folder)
        reason = _why_not(record)
        if reason is None:
            found.append(record)
        else:
            left_out.append(LeftOut(str(folder), reason))
    if not found:
        reasons = "".join(f"\n  {item.folder}: {item.reason}" for item in left_out)
        msg = f"runs: no finished run in {', '.join(arguments)}; left out are:{reasons}"
        raise UserError(msg)
    return found, left_out


def find_folders(arguments: Sequence[str]) -> list[Path]:
    """The folders of runs that the arguments mean, each once; see `find_runs`."""
    found = (folder.resolve() for text in arguments for folder in _folders(text))
    return list(dict.fromkeys(found))


def refuse_unlike(records: Sequence[RunRecord]) -> None:
    """Runs of different protocols are not compared.

    Raises:
        UserError: names every field that differs, with its value in every run.
    """
    differing = protocol_differences(records)
    if not differing:
        return
    lines = ["these runs were judged under different protocols, so their numbers do not compare:"]
    for field, values in differing.items():
        lines.append(f"  {field}:")
        for value in dict.fromkeys(values):
            runs = [r for r, v in zip(records, values, strict=True) if v == value]
            shown = ", ".join(str(run.folder) for run in runs[:5])
            more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
            lines.append(f"    {value} in {shown}{more}")
    lines.append(
        "Compare runs of one protocol, or see the numbers side by side with --force (force=true), "
        "which marks every table NOT COMPARABLE."
    )
    raise UserError("\n".join(lines))


def protocol_differences(records: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Fields of the protocol that are not equal in all runs: field -> value by run."""
    protocols = [record.values["protocol"] for record in records]
    if len({protocol["fingerprint"] for protocol in protocols}) == 1:
        return {}
    flat = [flatten(protocol["fields"]) for protocol in protocols]
    names = dict.fromkeys(name for fields in flat for name in fields)
    rows = {
        name: [json.dumps(f[name]) if name in f else "(not there)" for f in flat] for name in names
    }
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _folders(text: str) -> list[Path]:
    matches = sorted(glob.glob(text)) if glob.has_magic(text) else [text]
    if glob.has_magic(text) and Path(text).exists():
        matches = [text]  # brackets in a folder's own name
    elif not Path(text).exists() and (SWEEPS / text).is_dir():
        matches = [str(SWEEPS / text)]
    folders = [Path(match) for match in matches if Path(match).is_dir()]
    if not folders:
        what = f"no such folder, and no sweep {SWEEPS / text}"
        if glob.has_magic(text):
            what = "matches no folder"
        elif Path(text).is_file():
            what = "is a file; give the run's directory"
        raise UserError(f"runs: {text}: {what}. {_GIVE}")
    found = [run for folder in folders for run in run_folders(folder)]
    if not found:
        msg = f"runs: {text}: no run there ({RECORD} is missing, also in the folders below)"
        raise UserError(f"{msg}. {_GIVE}")
    return found


def _why_not(record: RunRecord) -> str | None:
    values = record.values
    if "windows" in values:
        return "a rolling back-test, whose windows are runs of their own (window_0, window_1, ...)"
    if not record.done:
        return f"its status is '{values['status']}', so it has no test result"
    if not values.get("test") or "protocol" not in values:
        return "its record holds no test result"
    return None
