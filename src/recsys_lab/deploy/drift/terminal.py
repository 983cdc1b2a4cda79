"""The comparison in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.text import Text

from recsys_lab.deploy.drift import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console


def print_drift(console: Console, result: Mapping[str, Any]) -> None:
    """Print it; 80 columns without colour are enough."""
    tables = [words.logs_table(result), words.overlap_table(result), words.shifts_table(result)]
    if result["hit_rate"] is not None:
        tables.append(words.hit_rate_table(result["hit_rate"]))
    if result["skipped"]:
        tables.append(words.skipped_table(result))
    console.print(f"OLD: {result['old']['path']}", soft_wrap=True, highlight=False)
    console.print(f"NEW: {result['new']['path']}", soft_wrap=True, highlight=False)
    for table in tables:
        console.print(table.rich(box=box.SIMPLE))
    for note in words.notes(result):
        console.print(f"note: {note}", soft_wrap=True, highlight=False)
    style = "bold red" if result["above"] else "bold green"
    console.print(Text(words.verdict(result), style=style), soft_wrap=True)
