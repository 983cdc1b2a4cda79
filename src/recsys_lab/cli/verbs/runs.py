"""``recsys-lab runs [DIR]``: list runs, once or until Ctrl-C."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from recsys_lab.config import Interrupted, UserError
from recsys_lab.pages.terminal import Terminal, printable, tell
from recsys_lab.runs.listing import (
    as_csv,
    as_json,
    csv_columns,
    current_column,
    list_runs,
    require_columns,
    select,
)
from recsys_lab.runs.references import RUNS, references
from recsys_lab.runs.run_table import REFERENCE, failures, print_parts, run_table
from recsys_lab.sweeps.study_folder import sweep_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig
    from rich.console import Console, RenderableType

    from recsys_lab.runs.listing import Known, Row

_EVERY = 2.0  # seconds between two looks at the files


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the list.

    Raises:
        UserError: there is no such folder or column, or a list is to be watched without a terminal.
    """
    del output_dir
    if cfg.watch:
        _watch(cfg)
        return
    rows = _rows(cfg)
    if cfg.format == "table":
        console = Terminal()
        print_parts(_parts(cfg, rows, console), console)
        return
    chosen, began = _chosen(cfg, rows)
    columns = _given(cfg) or csv_columns(chosen)
    require_columns(columns, rows)
    writer = as_json if cfg.format == "json" else as_csv
    print(printable(writer(chosen, columns).rstrip("\n")))
    if line := _left_out(cfg, began):
        tell(line)


def _watch(cfg: DictConfig) -> None:
    """Show the table until Ctrl-C; only records that have changed are read again."""
    console = Terminal()
    if cfg.format != "table" or not console.is_terminal or not sys.stdout.isatty():
        raise UserError(
            "watch: shows the table in a terminal until Ctrl-C; without a terminal, or for another "
            "format, leave it out and repeat the command"
        )
    known: Known = {}
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                parts = _parts(cfg, _rows(cfg, known), console)
                live.update(Group(*parts), refresh=True)
                time.sleep(_EVERY)
    except (KeyboardInterrupt, Interrupted):  # how it is ended
        return


def _parts(cfg: DictConfig, rows: list[Row], console: Console) -> Iterator[RenderableType]:
    """The table with its title, and the lines below it."""
    chosen, began = _chosen(cfg, rows)
    given = _given(cfg)
    require_columns(given or [], rows)
    title = f"{cfg.dir}: {len(chosen):,} of {len(rows):,} runs"
    yield from run_table(chosen, given, title, console)
    if given is None:
        yield from map(Text, failures(chosen))
    if line := _left_out(cfg, began):
        yield Text(line)


def _chosen(cfg: DictConfig, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The filtered rows, and those that are left out as they never began."""
    where = cfg.where.split(",") if cfg.where else []
    chosen = select(rows, where=where, sort=cfg.sort, limit=None)
    began = [row for row in chosen if cfg.all or not row.get("never_began")]
    others = [row for row in chosen if row.get("never_began") and not cfg.all]
    return began[: cfg.limit], others


def _left_out(cfg: DictConfig, rows: list[Row]) -> str | None:
    count = len(rows)
    if not count:
        return None
    many = "1 run never began and is" if count == 1 else f"{count:,} runs never began and are"
    # Trials belong to their sweep, which `prune` leaves whole.
    if all(sweep_of(Path(row["folder"])) is not None for row in rows):
        return f"{many} left out: all=true lists"
    where = "" if Path(cfg.dir) == Path(RUNS) else f" {cfg.dir}"
    return f"{many} left out: all=true lists, recsys-lab runs prune{where} deletes"


def _given(cfg: DictConfig) -> list[str] | None:
    columns: Any = cfg.columns
    return None if columns is None else [current_column(column) for column in columns]


def _rows(cfg: DictConfig, known: Known | None = None) -> list[Row]:
    """All runs, with their references."""
    rows = list_runs(Path(cfg.dir), known)
    short = references(cfg.dir, [row["folder"] for row in rows])
    for row, reference in zip(rows, short, strict=True):
        row[REFERENCE] = reference
    return rows
