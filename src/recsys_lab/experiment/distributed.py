"""Several processes, started together by the lab, ``torchrun`` or SLURM.

Torch is imported in the functions: every command imports this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from recsys_lab.config import UserError

_LONGEST = timedelta(days=7)


@contextmanager
def joined_processes(*, trains: bool = False) -> Iterator[None]:
    """Join the process group, if several processes were started together.

    Finished rows and small numbers are exchanged in host memory by gloo; gradients on GPUs by NCCL.

    Args:
        trains: whether gradients are exchanged.

    Raises:
        UserError: environment variables of the process group are missing.
    """
    world = number_of_processes()
    if world == 1:
        yield
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():  # by the caller, who leaves it
        yield
        return
    choose_gpu()
    on_gpu = trains and torch.cuda.is_available()
    try:
        # A dead process closes its connections, which ends the others at once; a living one may
        # prepare data for hours while they wait.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_LONGEST)
    except ValueError as error:  # of torch: a variable is missing
        verb = "train" if trains else "evaluate RUN_DIR"
        raise UserError(
            f"WORLD_SIZE={world}: cannot join the process group ({error}); start the processes "
            f"with torchrun --nproc-per-node {world} -m recsys_lab {verb}, or unset WORLD_SIZE"
        ) from None
    try:
        yield
    finally:
        distributed.destroy_process_group()


def choose_gpu() -> None:
    """Use the GPU of this process's local rank; with more processes than GPUs, they share them."""
    if "LOCAL_RANK" not in os.environ:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def rank() -> int:
    """Number of this process among those started together, from torchrun's RANK."""
    return int(os.environ.get("RANK") or 0)


def number_of_processes() -> int:
    """Number of processes started together, from torchrun's WORLD_SIZE."""
    value = os.environ.get("WORLD_SIZE", "1")
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"WORLD_SIZE: got {value!r}, expected a number of processes of at least 1")
    return int(value)


def refuse_several(verb: str) -> None:
    """Refuse several processes, before a run directory is made.

    Raises:
        UserError: WORLD_SIZE is larger than 1.
    """
    world = number_of_processes()
    if world > 1:
        raise UserError(
            f"{verb}: got {world} processes (WORLD_SIZE={world}), expected one; start it without "
            "torchrun. recsys-lab sweep uses all GPUs, with one run on each"
        )
