"""Several processes that train one model: their rows of a batch, and what they agree on.

In one process everything here does nothing, and torch's generators draw as they always do.

A step's batch is the same whatever the number of processes; each reads a `Share` of its rows. Cloze
masks and negatives are drawn in `common_draws` for the whole batch, and each process takes its
rows, so that they are those of one process. Everything else (dropout) differs by process.

Shapes: B users, T events, N supervised positions of a process, M of all processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from recsys_lab.config import OthersEnded

Value = TypeVar("Value")


@dataclass(frozen=True)
class Share:
    """The consecutive rows of a step's batch that one of several processes reads.

    Attributes:
        rows: first row and end.
        events: first event and end, among those of the whole batch.
        num_rows: B of the whole batch.
        num_events: T of the whole batch.
        is_lent: the batch has fewer rows than there are processes, and this one reads a row of
            another, with weight 0: all must take part in the exchange of gradients.
    """

    rows: tuple[int, int]
    events: tuple[int, int]
    num_rows: int
    num_events: int
    is_lent: bool = False

    @classmethod
    def of(cls, lengths_B: np.ndarray[Any, Any], rank: int, world: int) -> Share:
        """The share of a process.

        Args:
            lengths_B: events of each history of the whole batch.
            rank: number of the process.
            world: number of processes.
        """
        count = len(lengths_B)
        first, end = count * rank // world, count * (rank + 1) // world
        is_lent = first == end
        if is_lent:
            first, end = 0, 1
        before = int(lengths_B[:first].sum())
        events = before, before + int(lengths_B[first:end].sum())
        return cls((first, end), events, count, int(lengths_B.sum()), is_lent)


def shard() -> tuple[int, int]:
    """Number of this process in the process group, from 0, and how many there are."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def is_first() -> bool:
    """Whether this process writes files and talks to the user."""
    return shard()[0] == 0


def from_first(make: Callable[[], Value]) -> Value:
    """What the first process makes; the others wait for it.

    Args:
        make: returns plain values, as of JSON; called in the first process only.

    Raises:
        OthersEnded: in the other processes, if ``make`` raises.
    """
    rank, world = shard()
    if world == 1:
        return make()
    if rank == 0:
        try:
            value = make()
        except BaseException:
            _send(None)
            raise
        _send({"value": value})
        return value
    received = _send(None)
    if received is None:
        raise OthersEnded
    made: Value = received["value"]
    return made


def after_first(make: Callable[[], Value]) -> Value:
    """What each process makes, the first one before the others, which then find its files.

    Raises:
        OthersEnded: in the other processes, if ``make`` raises in the first one.
    """
    if not is_first():
        from_first(lambda: None)
        return make()
    made: list[Value] = []
    from_first(lambda: made.append(make()))
    return made[0]


def any_of(flag: bool) -> bool:
    """Whether a flag is set in any process."""
    return any(at for (at,) in exchanged(int(flag)))


def exchanged(*numbers: int) -> list[tuple[int, ...]]:
    """The integers that every process passes, by process; exchanged in host memory."""
    world = shard()[1]
    if world == 1:
        return [numbers]
    own = torch.tensor(numbers, dtype=torch.int64)
    of_all = [torch.empty_like(own) for _ in range(world)]
    distributed.all_gather(of_all, own)
    return [tuple(map(int, one.tolist())) for one in of_all]


def joined(own_N: Tensor, counts: Sequence[int]) -> Tensor:
    """The int64 vectors of all processes one after the other, (M,).

    Args:
        own_N: of this process; longer than its count if those are not to be sent.
        counts: their lengths, by process.
    """
    rank, world = shard()
    if not any(counts):
        return own_N[:0]
    padded = own_N.new_zeros(max(counts))
    padded[: counts[rank]] = own_N[: counts[rank]]
    of_all = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(of_all, padded)
    return torch.cat([one[:count] for one, count in zip(of_all, counts, strict=True)])


def summed(values: Tensor) -> Tensor:
    """The sum over all processes."""
    if shard()[1] > 1:
        values = values.clone()
        distributed.all_reduce(values)
    return values


def _send(value: Any) -> Any:
    """Broadcast a value of JSON from the first process; returns it."""
    text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    length = torch.tensor(len(text))
    distributed.broadcast(length, 0)
    if not is_first():
        text = torch.empty(int(length), dtype=torch.uint8)
    distributed.broadcast(text, 0)
    return json.loads(bytes(text.tolist()))


_common: list[list[Tensor]] = []
"""States of the generators that all processes share, while `own_draws` has others in place."""

_targets: list[tuple[Tensor, slice]] = []
"""See `among_targets`."""


@contextmanager
def own_draws(*seed: int) -> Iterator[None]:
    """Let torch draw numbers of this process's own, except in `common_draws`.

    They are drawn from the seed alone, so that checkpoints need no state of every process.

    Args:
        seed: of the run, and the number of the step.
    """
    rank, world = shard()
    if world == 1:
        yield
        return
    _common.append(_states())
    [drawn] = np.random.SeedSequence([*seed, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(drawn) >> 1)
    try:
        yield
    finally:
        _restore(_common.pop())


@contextmanager
def common_draws() -> Iterator[None]:
    """Let torch draw the same numbers in all processes, those that one process would draw.

    All must draw as many.
    """
    if not _common:
        yield
        return
    own = _states()
    _restore(_common[-1])
    try:
        yield
    finally:
        _common[-1] = _states()
        _restore(own)


@contextmanager
def among_targets(targets_M: Tensor, rows: slice) -> Iterator[None]:
    """Let a loss know the targets of all processes.

    Args:
        targets_M: of all processes, in the order of the batch.
        rows: those of the positions that this process's loss is computed for.
    """
    _targets.append((targets_M, rows))
    try:
        yield
    finally:
        _targets.pop()


def all_targets(targets_N: Tensor) -> tuple[Tensor, slice]:
    """The targets of all processes, (M,), and which of them are this one's: see `among_targets`.

    Args:
        targets_N: of this process.
    """
    return _targets[-1] if _targets else (targets_N, slice(None))


def _states() -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *on_gpu]


def _restore(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
