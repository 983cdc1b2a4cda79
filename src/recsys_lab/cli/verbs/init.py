"""``recsys-lab init FILE``: look at a file, and propose a config for it."""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.data.proposal.propose import name_for, propose
from recsys_lab.data.proposal.render import as_yaml, seen
from recsys_lab.files.faults import reason
from recsys_lab.pages.number_format import format_value
from recsys_lab.pages.table import Table
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Write the config, and print what was seen and the next command."""
    del output_dir
    name = name_for(cfg.file) if cfg.name is None else cfg.name
    if not re.fullmatch(r"\w+", name, re.ASCII):
        raise UserError(f"name={name}: expected letters, digits and underscores, e.g. name=till")
    target = Path(cfg.output) / "experiment" / f"{name}.yaml"
    _refuse_existing(target)
    given = {"user": cfg.user, "item": cfg.item, "timestamp": cfg.time}
    with tempfile.TemporaryDirectory(prefix="recsys-lab-") as scratch:
        proposal = propose(cfg.file, cfg.rows, given, Path(scratch))
    choice = f"--config-dir {shlex.quote(str(cfg.output))} experiment={name}"
    _write(target, as_yaml(proposal, f"recsys-lab train {choice}"))
    console = Terminal()
    console.print(seen(proposal), highlight=False)
    rows = [
        (f"{group}.{entry.key}", format_value(entry.value), entry.why)
        for group, entries in proposal.groups.items()
        for entry in entries
    ]
    console.print(Table("proposed", ("option", "value", "why"), rows, whole=(0,)))
    for gap in proposal.gaps:
        console.print(f"gap: {gap}", soft_wrap=True, highlight=False)
    for what, command in (
        ("written", str(target)),
        ("prepare the data and see its card", f"recsys-lab prepare {choice}"),
        ("train", f"recsys-lab train {choice}"),
    ):
        console.print(f"{what}: {command}", soft_wrap=True, highlight=False)


def _refuse_existing(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise UserError(
            f"{target} exists, and init never overwrites a file; choose another name, "
            f"e.g. name={target.stem}_2"
        )


def _write(target: Path, text: str) -> None:
    """Write a new file; another process may have been faster."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        _refuse_existing(target)
    except OSError as error:
        raise UserError(
            f"output: cannot write {target} ({reason(error)}); choose another output="
        ) from error
