"""The epochs of a run in training, appended as lines to ``epochs.jsonl``.

When training ends they move to ``run.json`` and the file is removed. The checkpoint has them too; a
resumed run rewrites the file from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError, command_line
from recsys_lab.files.atomic import write_text
from recsys_lab.files.digests import SEAL, seal

EPOCHS = "epochs.jsonl"


def write_epochs(folder: Path, history: Sequence[Mapping[str, Any]], known: int) -> None:
    """Write all epochs to disk.

    Args:
        folder: of the run.
        history: every epoch so far.
        known: number of epochs that this process has written; 0 rewrites the file.
    """
    path = folder / EPOCHS
    if known and known == len(history) - 1:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line(history[-1]))
            file.flush()
            os.fsync(file.fileno())
    else:
        write_text(path, "".join(map(_line, history)))


def read_epochs(folder: Path) -> list[dict[str, Any]] | None:
    """The epochs, without a partly written last line; None without the file.

    Raises:
        UserError: a line is damaged.
    """
    path = folder / EPOCHS
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    rows = []
    for number, line in enumerate(lines[:-1], start=1):  # the last line has no line break
        row = _row(line)
        if row is None:
            raise UserError(
                f"{path}: line {number} is damaged. Remove the file: the run rewrites it from its "
                f"checkpoint when resumed ({command_line('train', f'resume={folder}')})"
            )
        rows.append(row)
    return rows


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({**row, SEAL: seal(row)}) + "\n"


def _row(line: bytes) -> dict[str, Any] | None:
    """The epoch of a line; None for a damaged line."""
    try:
        row = json.loads(line)
        noted = row.pop(SEAL)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return row if noted == seal(row) else None
