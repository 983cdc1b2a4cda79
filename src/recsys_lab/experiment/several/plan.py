"""How many processes train a run, and what cannot be trained by several."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError, build
from recsys_lab.config.errors import report
from recsys_lab.config.schema import has_method, stated
from recsys_lab.experiment.distributed import number_of_processes
from recsys_lab.experiment.resume import DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig

_OPTIONS = {
    "compile": (False, "the compiled model would exchange no gradients"),
    "sparse_embeddings": (False, "the processes exchange dense gradients"),
    "overfit_loss": (None, "one batch of a few histories is learned"),
}
"""Options of the recipe of one process only: the value that is allowed with several, and why."""


def adopt_slurm(cfg: DictConfig) -> None:
    """Read the environment of SLURM's tasks as that of torchrun, if the recipe asks for several.

    With ``recipe.devices=1`` each task is a run of its own, as in ``srun -n 8 recsys-lab train
    seed=...``.
    """
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if wanted(cfg) == 1 or tasks == "1" or "WORLD_SIZE" in os.environ:
        return
    here = os.environ["SLURM_STEP_TASKS_PER_NODE"].partition("(")[0]
    own = {
        "WORLD_SIZE": tasks,
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": here,
        "GROUP_RANK": os.environ["SLURM_NODEID"],
        "MASTER_ADDR": _first_host(os.environ["SLURM_STEP_NODELIST"]),
        # One number for all tasks of a step, another for other steps of the machine.
        "MASTER_PORT": str(20000 + (_step_number() % 20000)),
    }
    os.environ.update({name: value for name, value in own.items() if name not in os.environ})


def wanted(cfg: DictConfig) -> int | str:
    """The value of ``recipe.devices``; 1 for configs of older versions."""
    value: int | str = cfg.recipe.get("devices", 1)
    return value


def processes_to_start(cfg: DictConfig) -> int:
    """Number of processes that this command starts: 1 if it trains itself.

    Raises:
        UserError: the run cannot be trained by so many.
    """
    started, asked = number_of_processes(), wanted(cfg)
    if started > 1:
        if asked not in (1, "auto", started):
            raise UserError(
                f"{DEVICES}: got {asked}, but {started} processes were started "
                f"(WORLD_SIZE={started}); start {asked}, or leave {DEVICES} out"
            )
        _refuse(cfg, started, int(os.environ.get("LOCAL_WORLD_SIZE", started)))
        return 1
    if asked == 1:
        return 1
    count = _gpus(cfg) if asked == "auto" else int(asked)
    if count > 1:
        _refuse(cfg, count, count)
    return max(1, count)


def refuse_devices(cfg: DictConfig, verb: str) -> None:
    """Refuse a command that trains its runs in one process each.

    Raises:
        UserError: the recipe asks for several.
    """
    if wanted(cfg) != 1:
        raise UserError(
            f"{DEVICES}: got {wanted(cfg)}, but {verb} trains each run in one process; use "
            f"{DEVICES}=1"
        )


def _refuse(cfg: DictConfig, count: int, here: int) -> None:
    """Raise an error with everything that several processes cannot do.

    Args:
        cfg: the whole config.
        count: number of processes.
        here: of these, on this machine.
    """
    problems = [*_problems(cfg, count)]
    gpus = _gpus(cfg)
    if gpus and here > gpus:
        problems.append(
            f"{DEVICES}: got {here} processes on a machine with {gpus} visible GPUs; use "
            f"{DEVICES}={gpus}, or recipe.accelerator=cpu"
        )
    if problems:
        raise UserError(report(problems, f"a run of {count} processes"))


def _problems(cfg: DictConfig, count: int) -> Iterator[str]:
    one = f"use {DEVICES}=1, without torchrun"
    target = cfg.model["_target_"]
    name = target.rpartition(".")[2]
    if has_method(target, "fit"):
        yield f"model: {name} is fitted in one pass, by one process; {one}"
        return
    loss = cfg.get("loss")
    if loss is not None and (why := stated(loss["_target_"], "one_process")):
        yield f"loss: {loss['_target_'].rpartition('.')[2]} {why}; use another loss, or {one}"
    for option, (allowed, why) in _OPTIONS.items():
        value: Any = cfg.recipe.get(option, allowed)
        if value != allowed:
            yield f"recipe.{option}: got {value}, but {why}; {one}, or leave it out"
    if cfg.recipe.batch_size < count:
        yield (
            f"recipe.batch_size: got {cfg.recipe.batch_size}, of all processes together, expected "
            f"at least {count}, a history for each"
        )


def _gpus(cfg: DictConfig) -> int:
    """Number of GPUs that the recipe may use."""
    if build(cfg.recipe).device() == "cpu":
        return 0
    import torch

    return torch.cuda.device_count()


def _step_number() -> int:
    return int(os.environ["SLURM_JOB_ID"]) * 31 + int(os.environ.get("SLURM_STEP_ID", "0"))


def _first_host(nodes: str) -> str:
    """The first host of a list such as ``gpu[003-005,9],cpu1``."""
    name, bracket, rest = nodes.partition("[")
    if not bracket or "," in name:
        return nodes.split(",")[0]
    inside, _, after = rest.partition("]")
    first = inside.split(",")[0].split("-")[0]
    return name + first + after.split(",")[0]
