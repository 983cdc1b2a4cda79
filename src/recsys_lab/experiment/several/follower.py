"""The processes of a run but the first: they train and rank with it, and write nothing."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recsys_lab.config import OthersEnded
from recsys_lab.contracts.processes import from_first, is_first, shard
from recsys_lab.files.faults import MachineFault
from recsys_lab.runs.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOST = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Connection refused",
    "Socket closed",
    "NCCL communicator was aborted",
    "remote process exited",
)
"""Words in the messages of gloo and NCCL when another process has ended."""


class Follower(RunRecord):
    """The record as it is in the other processes: its changes are not written."""

    def _store(self, changes: dict[str, Any], *, epochs_apart: bool) -> None:
        del epochs_apart
        self.values.update(changes)

    def note_epochs(self, history: list[dict[str, float]], seconds: float) -> None:
        """Set the epochs."""
        del seconds
        self.update(epochs=list(history))

    def end_epochs(self, history: list[dict[str, float]], **changes: Any) -> None:
        """Set the epochs and ``changes``."""
        self.update(epochs=history, **changes)

    def note_files(self, *names: str, **changes: Any) -> None:
        """Set ``changes``."""
        del names
        self.update(**changes)


def record_of_all(folder: Path, open_first: Callable[[], RunRecord]) -> RunRecord:
    """The record of a run in every process: one that is written, and its followers.

    Args:
        folder: the run directory.
        open_first: opens the record, in the first process.

    Raises:
        OthersEnded: in the other processes, if it cannot be opened.
    """
    opened: list[RunRecord] = []

    def values() -> dict[str, Any]:
        opened.append(open_first())
        return opened[0].values

    shared = from_first(values)
    return opened[0] if opened else Follower(folder, shared)


@contextmanager
def naming_the_lost() -> Iterator[None]:
    """Say in one line that another process has ended, which the libraries tell in many.

    Raises:
        MachineFault: in the first process.
        OthersEnded: in the others.
    """
    world = shard()[1]
    try:
        yield
    except RuntimeError as error:
        if world == 1 or not any(words in str(error) for words in _LOST):
            raise
        if not is_first():
            raise OthersEnded from error
        raise MachineFault(
            f"one of the {world} processes of the run has ended, so the others cannot go on; the "
            "last checkpoint is kept"
        ) from error


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing but what ends this process: the first one logs the same."""
    log = logging.getLogger("recsys_lab")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
