"""``recsys-lab prepare``: prepare a dataset from a raw log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
            with _told() as messages:
                data = prepare_from(config)
            print_data_card(console, data.manifest, data.path, messages)
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted("stopped; the unfinished dataset was removed") from None


@contextmanager
def _told() -> Iterator[set[str]]:
    """The lab's log messages in the body, which the user has read."""
    messages: set[str] = set()
    handler, lab = logging.Handler(), logging.getLogger("recsys_lab")
    handler.emit = lambda record: messages.add(record.getMessage())  # type: ignore[method-assign]
    lab.addHandler(handler)
    try:
        yield messages
    finally:
        lab.removeHandler(handler)
