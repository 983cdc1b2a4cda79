"""``recsys-lab runs prune [DIR]``: delete runs without results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.comparison.collect import SWEEPS
from recsys_lab.config import UserError
from recsys_lab.deploy.prune import delete, find_runs
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.references import RUNS
from recsys_lab.sweeps.study_folder import sweep_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig
    from rich.console import Console

    from recsys_lab.deploy.prune import Found


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print what would be deleted, ask, and delete it.

    Raises:
        UserError: there is no such folder, or nobody can be asked.
    """
    del output_dir
    folder, console = Path(cfg.dir), Terminal()
    others = [Path(RUNS), SWEEPS]
    found = find_runs(
        folder, cfg.what, cfg.older_than, [*map(Path, cfg.registries)], others, sweep_of
    )
    for one in found:
        if one.kept:
            _tell(console, f"kept: {one.folder} ({one.status}): {one.kept}")
    going = [one for one in found if not one.kept]
    if not going:
        _tell(console, f"{folder}: nothing to delete ({', '.join(cfg.what)})")
        return
    for one in going:
        _tell(console, f"{one.folder} ({one.status}, {_size(one.size)})")
    many = f"{len(going)} runs" if len(going) > 1 else "1 run"
    if not cfg.yes and not _agreed(f"delete {many}, {_size(sum(one.size for one in going))}?"):
        _tell(console, "nothing was deleted")
        return
    _delete(console, going, folder)


def _delete(console: Console, going: Sequence[Found], folder: Path) -> None:
    deleted = 0
    for one in going:
        kept = delete(one, folder)
        deleted += kept is None
        if kept:
            _tell(console, f"kept: {one.folder}: {kept}")
    _tell(console, f"deleted: {deleted} of {len(going)}")


def _agreed(question: str) -> bool:
    """Whether the user says yes.

    Raises:
        UserError: there is no terminal to ask in.
    """
    if not sys.stdin.isatty():
        raise UserError(
            f"{question} The input is no terminal, so nobody can be asked: add yes=true. Nothing "
            "was deleted"
        )
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _tell(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False)
