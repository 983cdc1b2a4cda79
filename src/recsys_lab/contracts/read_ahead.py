"""Batches that are read in a thread while the device computes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)

DEPTH = 4
"""Batches that wait for the device at any time; one more is being read."""
_PATIENCE = 0.1  # seconds after which a waiting thread looks whether it is still needed


class SizedBatches(Protocol[Item_co]):
    """Batches of a known number."""

    def __iter__(self) -> Iterator[Item_co]:
        """All batches."""
        ...

    def __len__(self) -> int:
        """Their number."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """Batches with a position; copies are independent."""

    def __iter__(self) -> Iterator[Any]:
        """The rest of the current epoch, or the next epoch when the current one is done."""
        ...

    def __len__(self) -> int:
        """Number of batches per epoch."""
        ...

    def state_dict(self) -> dict[str, int]:
        """The position."""
        ...

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore a stored position."""
        ...


class ReadAhead(Generic[Item]):
    """Batches of another iterable, at most `DEPTH` of them read before they are asked for.

    Args:
        batches: read in a thread of its own.
        prepare: what the thread does with each batch.
    """

    def __init__(self, batches: SizedBatches[Item], prepare: Callable[[Item], Item]) -> None:
        self._batches = batches
        self._prepare = prepare

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Item]:
        """All batches; an error of the thread is raised where its batch would be."""
        return in_thread(map(self._prepare, self._batches))


class ResumableReadAhead(ReadAhead[Item]):
    """The same of batches with a position, which is that of the last batch that was taken.

    Batches that were read and not taken do not count: a resumed run reads them again.

    Args:
        batches: see `ReadAhead`.
        prepare: see `ReadAhead`.
    """

    def __init__(self, batches: Resumable, prepare: Callable[[Item], Item]) -> None:
        super().__init__(batches, prepare)
        self._place = batches

    def __iter__(self) -> Iterator[Item]:
        """The rest of the current epoch, or the next epoch when the current one is done."""
        reader = copy(self._place)
        pairs = ((self._prepare(batch), reader.state_dict()) for batch in reader)
        for batch, place in in_thread(pairs):
            self._place.load_state_dict(place)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The position."""
        return self._place.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore a stored position."""
        self._place.load_state_dict(state)


def read_ahead(batches: Any, device: str) -> Any:
    """Batches for a type of device: read ahead into pinned memory for a GPU.

    On a CPU they are unchanged: a thread would take a core from the training.

    Args:
        batches: sized; with ``state_dict`` they stay resumable.
        device: ``"cuda"`` or ``"cpu"``.
    """
    if device != "cuda":
        return batches
    number = torch.cuda.current_device()

    def pinned(batch: Any) -> Any:
        with torch.cuda.device(number):  # a new thread begins with the first one
            return batch.pin_memory()

    kind = ResumableReadAhead if isinstance(batches, Resumable) else ReadAhead
    return kind(batches, pinned)


@dataclass(frozen=True)
class _Fault:
    error: BaseException


_END = object()


def in_thread(items: Iterator[Item]) -> Iterator[Item]:
    """The items, computed in a thread, at most `DEPTH` before they are asked for.

    The thread ends when the iterator is exhausted, closed or deleted.
    """
    reader = _Reader(items)
    reader.start()
    try:
        while (what := reader.read.get()) is not _END:
            if isinstance(what, _Fault):
                raise what.error
            yield what
    finally:
        reader.stop()


class _Reader(threading.Thread):
    """Puts items into a queue, then `_END` or a `_Fault`."""

    def __init__(self, items: Iterator[Any]) -> None:
        super().__init__(name="read-ahead", daemon=True)
        self._items = items
        self._stopped = threading.Event()
        self.read: Queue[Any] = Queue(DEPTH)

    def run(self) -> None:
        """Read until the end, an error, or `stop`."""
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # raised where the item would be
            self._put(_Fault(error))
        else:
            self._put(_END)

    def stop(self) -> None:
        """End the thread, also while it waits for a place in the queue."""
        self._stopped.set()
        while not self.read.empty():
            self.read.get_nowait()
        self.join()

    def _put(self, what: Any) -> bool:
        """Whether the queue took it; false once stopped."""
        while not self._stopped.is_set():
            try:
                self.read.put(what, timeout=_PATIENCE)
            except Full:
                continue
            return True
        return False
