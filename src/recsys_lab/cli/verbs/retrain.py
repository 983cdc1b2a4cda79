"""``recsys-lab retrain RUN``: train the config of a finished run on newer data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.cli.outcome import print_outcome
from recsys_lab.deploy.retrain.run import retrain
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> Path | None:
    """Retrain, and return the new run's directory; None if there was nothing new."""
    outcome = retrain(cfg, output_dir, Terminal())
    print_outcome(**outcome)
    return output_dir if outcome["run"] else None
