"""``recsys-lab drift OLD NEW``: what changed between two logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.cli.output import output_folder
from recsys_lab.deploy.drift.page import html
from recsys_lab.deploy.drift.report import DRIFTED, drift
from recsys_lab.deploy.drift.terminal import print_drift
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> int:
    """Print the comparison, and write it to the folder ``output`` if given.

    Returns:
        The exit code: 3 if a shift is above its threshold, else 0.
    """
    del output_dir
    folder = output_folder(cfg.output)
    result = drift(cfg)
    console = Terminal()
    print_drift(console, result)
    if folder is not None:
        write_text(folder / "drift.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
        write_text(folder / "drift.html", html(result))
        for name in ("drift.json", "drift.html"):
            console.print(f"written: {folder / name}", soft_wrap=True, highlight=False)
    return DRIFTED if result["above"] else 0
