"""``recsys-lab runs [DIR]``: list runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.pages.terminal import Terminal, printable
from recsys_lab.runs.listing import (
    as_csv,
    as_json,
    as_table,
    current_column,
    failures,
    list_runs,
    require_columns,
    select,
    split_constant,
    usual_columns,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the list."""
    del output_dir
    rows = list_runs(Path(cfg.dir))
    where = cfg.where.split(",") if cfg.where else []
    chosen = select(rows, where=where, sort=cfg.sort, limit=cfg.limit)
    given = None if cfg.columns is None else [current_column(column) for column in cfg.columns]
    columns = usual_columns(chosen) if given is None else given
    require_columns(columns, rows)
    if cfg.format == "table":
        title = f"{cfg.dir}: {len(chosen):,} of {len(rows):,} runs"
        if cfg.columns is None:
            columns, constant = split_constant(chosen, columns)
            title += f"; {constant}" if constant else ""
        console = Terminal()
        console.print(as_table(chosen, columns, title))
        if cfg.columns is None:
            for line in failures(chosen):
                console.print(line, soft_wrap=True, highlight=False)
    else:
        writer = as_json if cfg.format == "json" else as_csv
        print(printable(writer(chosen, columns).rstrip("\n")))
