"""Several processes that share one evaluation: ``torchrun`` starts them, each ranks its part.

Torch is imported late: every command line passes through here.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that were started together; one alone is left as it is.

    What they exchange are finished rows in host memory, so they meet by gloo, also where each
    ranks on a GPU of its own.

    Raises:
        UserError: the environment does not say where they meet.
    """
    world = number_of_processes()
    if world == 1:
        yield
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():  # as many processes as GPUs, or they take turns
        local = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(local % torch.cuda.device_count())
    try:
        distributed.init_process_group("gloo")
    except ValueError as error:  # of torch: a variable is missing
        raise UserError(
            f"WORLD_SIZE={world}: these processes cannot meet ({error}); start them with torchrun "
            f"--nproc-per-node {world} -m recsys_lab evaluate RUN_DIR, or unset WORLD_SIZE"
        ) from None
    try:
        yield
    finally:
        distributed.destroy_process_group()


def number_of_processes() -> int:
    """Processes that were started together, as torchrun tells each of them."""
    told = os.environ.get("WORLD_SIZE", "1")
    if not told.isdecimal() or int(told) < 1:
        raise UserError(f"WORLD_SIZE: got {told!r}; a number of processes from 1 on is needed")
    return int(told)


def refuse_several(verb: str) -> None:
    """Stop before a run directory is made.

    Raises:
        UserError: there are other processes beside this one.
    """
    world = number_of_processes()
    if world > 1:
        raise UserError(
            f"{verb}: got {world} processes (WORLD_SIZE={world}), and a run is made by one; start "
            "it without torchrun. recsys-lab sweep uses every GPU, a run on each"
        )


def shard() -> tuple[int, int]:
    """This process among those that have joined: its rank and their number."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
