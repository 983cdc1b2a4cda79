"""Queries that Ctrl-C and SIGTERM end at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Run(Protocol):
    """Makes a call."""

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns or raises."""
        ...


@contextmanager
def stoppable(connection: Any) -> Iterator[Run]:
    """Make calls in a thread of their own while this one waits.

    Python handles a signal between two steps of its main thread, and a database inside the process
    takes no step of Python's for as long as its query lasts.

    Args:
        connection: has ``interrupt()``, which ends its query from another thread.
    """
    with ThreadPoolExecutor(1, "query") as pool:

        def run(call: Callable[[], T]) -> T:
            future = pool.submit(call)
            try:
                return future.result()
            except BaseException:
                if not future.done():
                    connection.interrupt()
                    wait([future])
                raise

        yield run
