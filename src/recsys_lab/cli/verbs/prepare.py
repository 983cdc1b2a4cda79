"""``recsys-lab prepare``: prepare a dataset from a raw log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from recsys_lab.config import Interrupted
from recsys_lab.data.card.terminal import print_data_card
from recsys_lab.experiment.backtest import window_configs
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.pages.terminal import LogFormatter, Terminal

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


class _Told(logging.StreamHandler[TextIO]):
    """Shows the lab's warnings on standard error, and remembers what it showed."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.setFormatter(LogFormatter("%(message)s"))
        self.messages: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Show the warning."""
        super().emit(record)
        self.messages.add(record.getMessage())


@contextmanager
def _told() -> Iterator[set[str]]:
    """The warnings of the body, which the user reads on standard error."""
    # A logger with any handler no longer prints by itself: this one has to.
    handler, lab = _Told(), logging.getLogger("recsys_lab")
    lab.addHandler(handler)
    try:
        yield handler.messages
    finally:
        lab.removeHandler(handler)
