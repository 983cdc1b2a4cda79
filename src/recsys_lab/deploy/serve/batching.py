"""Joins concurrent requests into batches, which threads rank.

The event loop never waits for a model: it submits queries and awaits their futures. It reads and
writes the requests around a batch while the model, without Python's lock, ranks that one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, groupby

from recsys_lab.deploy.serve.queries import Answer, Bundle, Query

_log = logging.getLogger(__name__)


class Busy(Exception):
    """The queue is full, or the server is stopping."""


@dataclass(frozen=True)
class Reply:
    """The answers to a query, and the model that gave them."""

    answers: list[Answer]
    version: str


@dataclass(eq=False, slots=True)
class _Job:
    query: Query
    future: asyncio.Future[Reply]
    size: int  # histories
    arrived: float = field(default_factory=time.monotonic)
    result: Reply | Exception | None = None

    def tell(self) -> None:
        """Give the result to who waits for it; in the event loop."""
        if self.future.done():  # the client has left
            return
        if isinstance(self.result, Reply):
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.result or RuntimeError("no result"))


class Batcher:
    """A queue of queries and the threads that answer them.

    A thread that is free takes the next batch as soon as ``max_batch`` histories wait, or
    ``max_wait`` after the arrival of the first one: with 0, at once, and what arrives while a batch
    is ranked is the next one. Queries with equal kind, list length and treatment of seen items are
    ranked together; if that fails, each alone, so that a query fails only for its own reason.

    Args:
        bundle: the first model.
        max_batch: histories ranked at once; a query with more is ranked alone.
        max_wait: seconds.
        max_queue: histories that may wait.
        threads: batches ranked at the same time, each in a thread of its own.
        observe: is called with the number of histories of each batch and its seconds.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        max_batch: int,
        max_wait: float,
        max_queue: int,
        threads: int = 1,
        observe: Callable[[int, float], None] = lambda *_: None,
    ) -> None:
        self._bundle = bundle
        self._max_batch, self._max_wait, self._max_queue = max_batch, max_wait, max_queue
        self._observe = observe
        self._jobs: deque[_Job] = deque()
        self._waiting = 0  # histories
        self._idle = 0  # threads
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._loop, name=f"inference {number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def bundle(self) -> Bundle:
        """The present model."""
        return self._bundle

    @bundle.setter
    def bundle(self, bundle: Bundle) -> None:
        """Swap the model: batches after this use the new one, the running batch ends with the old.

        One assignment, so that no request sees parts of two models.
        """
        self._bundle = bundle

    @property
    def waiting(self) -> int:
        """Number of histories that wait."""
        return self._waiting

    def submit(self, query: Query) -> asyncio.Future[Reply]:
        """Queue a query; in the event loop that awaits the reply.

        Raises:
            Busy: the queue is full, or closed.
        """
        loop = asyncio.get_running_loop()
        job = _Job(query, loop.create_future(), len(query.rows))
        with self._changed:
            if self._closed or self._waiting + job.size > self._max_queue:
                raise Busy("the server stops" if self._closed else "too many requests wait")
            self._jobs.append(job)
            self._waiting += job.size
            if len(self._jobs) == 1 or self._waiting >= self._max_batch:
                self._changed.notify()
        return job.future

    def close(self) -> None:
        """Answer what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        while jobs := self._next():
            try:
                self._answer_all(jobs)
            except BaseException as error:  # the thread must survive whatever a model does
                _log.error("a batch failed: %s", _where(error))
                for job in jobs:
                    job.result = job.result or RuntimeError(type(error).__name__)
            _tell(jobs)
            del jobs  # and with it what the last answers refer to, while nothing is asked

    def _next(self) -> list[_Job]:
        """The next batch, without the queries whose caller has left; empty at the end."""
        while True:
            with self._changed:
                self._idle += 1
                jobs = self._take()
                self._idle -= 1
            wanted = [job for job in jobs if not job.future.done()]
            if wanted or not jobs:
                return wanted

    def _take(self) -> list[_Job]:
        """Wait for jobs and take a batch from the queue, whose lock is held; empty at the end."""
        while True:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            end = self._jobs[0].arrived + self._max_wait
            self._changed.wait_for(
                lambda: self._waiting >= self._max_batch or self._closed,
                timeout=max(0.0, end - time.monotonic()),
            )
            if self._jobs:  # not taken by another thread meanwhile
                break
        # A share for each idle thread: if this one took all, they would have nothing to do.
        most = min(self._max_batch, -(-self._waiting // self._idle))
        jobs = [self._jobs.popleft()]
        size = jobs[0].size
        while self._jobs and size + self._jobs[0].size <= most:
            size += self._jobs[0].size
            jobs.append(self._jobs.popleft())
        self._waiting -= size
        if self._jobs:
            self._changed.notify()
        return jobs

    def _answer_all(self, jobs: list[_Job]) -> None:
        bundle, start = self._bundle, time.perf_counter()

        def how(job: _Job) -> tuple[str, int, str]:
            return job.query.kind, job.query.k, str(job.query.exclude_seen)

        for _, alike in groupby(sorted(jobs, key=how), key=how):
            self._answer(bundle, list(alike))
        self._observe(sum(job.size for job in jobs), time.perf_counter() - start)

    def _answer(self, bundle: Bundle, jobs: Sequence[_Job]) -> None:
        rows = list(chain.from_iterable(job.query.rows for job in jobs))
        try:
            answers = bundle.model.answer(replace(jobs[0].query, rows=rows))
            if len(answers) != len(rows):
                raise RuntimeError(f"{len(answers)} answers for {len(rows)} histories")
        except BaseException as error:  # also the panics of Rust libraries
            if len(jobs) > 1:
                for job in jobs:
                    self._answer(bundle, [job])
            else:
                # Without the traceback, whose frames would keep the model after a swap.
                _log.warning("a query failed: %s", _where(error))
                what = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
                jobs[0].result = what.with_traceback(None)
            return
        first = 0
        for job in jobs:
            job.result = Reply(answers[first : first + job.size], bundle.version)
            first += job.size


def _tell(jobs: Sequence[_Job]) -> None:
    """Wake the event loop once for all jobs of a batch."""
    told = list(jobs)

    def tell() -> None:
        for job in told:
            job.tell()

    with suppress(RuntimeError):  # the loop is closed: nobody waits
        told[0].future.get_loop().call_soon_threadsafe(tell)


def _where(error: BaseException) -> str:
    """The type of an error and its line; not its message, which may name users and items."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"
