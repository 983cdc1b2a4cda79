"""Finds the finished runs that the command line names, and checks that they can be compared."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.runs.find import LeftOut, flatten, is_smoke_test, run_folders, whole_record
from recsys_lab.runs.record import RECORD, RunRecord

SWEEPS = Path("sweeps")
"""Default folder of the studies of `recsys-lab sweep`."""

_GIVE = "Give run directories, folders of runs, names of sweeps, or globs."


def find_runs(arguments: Sequence[str]) -> tuple[list[RunRecord], list[LeftOut]]:
    """The finished runs that the arguments name, each once, in the order of the arguments.

    Args:
        arguments: run directories, folders with runs at any depth, globs of these, and names of
            sweeps in `SWEEPS`.

    Returns:
        The runs, and the runs that are left out because they have no test result.

    Raises:
        UserError: an argument matches nothing, or no run is finished.
    """
    records: list[RunRecord] = []
    left_out: list[LeftOut] = []
    for folder in find_folders(arguments):
        record = whole_record(folder)
        reason = _why_not(record)
        if reason is None:
            records.append(record)
        else:
            left_out.append(LeftOut(str(folder), reason))
    if not records:
        reasons = "".join(f"\n  {item.folder}: {item.reason}" for item in left_out)
        msg = f"runs: no finished run in {', '.join(arguments)}; left out are:{reasons}"
        raise UserError(msg)
    return records, left_out


def find_folders(arguments: Sequence[str]) -> list[Path]:
    """The run folders that the arguments name, each once; see `find_runs`."""
    return list(dict.fromkeys(run.resolve() for text in arguments for run in _folders(text)))


def refuse_unlike(records: Sequence[RunRecord]) -> None:
    """Check that all runs have one protocol.

    Raises:
        UserError: lists every field that differs, with its value in every run.
    """
    differing = protocol_differences(records)
    if not differing:
        return
    lines = ["runs: their evaluation protocols differ, so their metrics are not comparable:"]
    for field, values in differing.items():
        lines.append(f"  {field}:")
        for value in dict.fromkeys(values):
            runs = [r for r, v in zip(records, values, strict=True) if v == value]
            shown = ", ".join(str(run.folder) for run in runs[:5])
            more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
            lines.append(f"    {value} in {shown}{more}")
    lines.append(
        "Compare runs of one protocol, or use --force (force=true) to show the numbers anyway; it "
        "marks every table as not comparable."
    )
    raise UserError("\n".join(lines))


def protocol_differences(records: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Protocol fields that differ between the runs: field -> value by run."""
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
        matches = [text]  # a folder whose name contains brackets
    elif not Path(text).exists() and (SWEEPS / text).is_dir():
        matches = [str(SWEEPS / text)]
    folders = [Path(match) for match in matches if Path(match).is_dir()]
    if not folders:
        what = f"there is no such folder and no sweep {SWEEPS / text}"
        if glob.has_magic(text):
            what = "matches no folder"
        elif Path(text).is_file():
            what = "is a file; give the run's directory"
        raise UserError(f"runs: {text}: {what}. {_GIVE}")
    runs = [run for folder in folders for run in run_folders(folder)]
    if not runs:
        msg = f"runs: {text}: contains no run (there is no {RECORD}, also not in its subfolders)"
        raise UserError(f"{msg}. {_GIVE}")
    return runs


def _why_not(record: RunRecord) -> str | None:
    values = record.values
    if "windows" in values:
        return "a rolling back-test; give its windows, which are runs (window_0, window_1, ...)"
    if is_smoke_test(record):
        return f"a smoke test (debug={record.values['config']['debug']}): its numbers mean nothing"
    if not record.done:
        return f"its status is '{values['status']}', so it has no test result"
    if not values.get("test") or "protocol" not in values:
        return "its record has no test result"
    return None
