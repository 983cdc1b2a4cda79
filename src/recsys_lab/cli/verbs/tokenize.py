"""``recsys-lab tokenize``: items -> semantic IDs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.text import Text

from recsys_lab.config import Interrupted
from recsys_lab.experiment.backtest import window_configs
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.experiment.restore import restore
from recsys_lab.experiment.semantic_ids import tokenize
from recsys_lab.pages.table import Table
from recsys_lab.pages.terminal import Terminal
from recsys_lab.semantic_ids import card
from recsys_lab.semantic_ids.churn import note_churn

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.semantic_ids.artefact import Artefact


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Make the codes, or use existing ones, and print their diagnostics."""
    del output_dir
    console = Terminal()
    try:
        for config in window_configs(cfg):
            made = tokenize(config, prepare_from(config), restore)
            if cfg.compare_with is not None:
                made = note_churn(made, Path(cfg.compare_with))
            _print(console, made)
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted("stopped; nothing of unfinished semantic IDs was kept") from None


def _print(console: Terminal, made: Artefact) -> None:
    manifest = made.manifest
    found = manifest["diagnostics"]
    tables = [
        Table(f"semantic IDs: {manifest['name']}", (), card.key_figures(manifest), whole=(0,)),
        card.levels_table(found),
        *card.agreement_tables(found),
        card.examples_table(found),
        *card.churn_tables(manifest),
    ]
    for table in tables:
        console.print(table.rich(box=box.SIMPLE_HEAD))
    for name, value in (
        ("semantic IDs", str(made.folder)),
        ("card", str(made.folder / "card.html")),
        ("fingerprint", manifest["fingerprint"]),
    ):
        console.print(Text(f"{name}: {value}"), soft_wrap=True)
