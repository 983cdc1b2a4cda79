"""``recsys-lab prepare``: prepare a dataset from a raw log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import Interrupted
from recsys_lab.data.card.terminal import print_data_card
from recsys_lab.experiment.backtest import window_configs
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Prepare or reuse the dataset and print its card."""
    del output_dir
    console = Terminal()
    try:
        for config in window_configs(cfg):
            data = prepare_from(config)
            print_data_card(console, data.manifest, data.path)
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted("stopped; the unfinished dataset was removed") from None
