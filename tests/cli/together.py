"""Commands in processes of one group, joined once: ``python -m tests.cli.together COMMANDS``."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from recsys_lab.cli.main import run_command
from recsys_lab.training import fit

STOPS = "stops after "
"""Begins a command during which the last process alone is asked to stop after so many steps."""


def together(world: int, commands: list[list[str]], timeout: float = 300) -> list[list[int]]:
    """The exit codes of commands, by process, in processes as torchrun starts them.

    The processes but the first must not print anything.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    group = {
        "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": "lo", "TORCH_CPP_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    with ExitStack() as opened:
        said = [opened.enter_context(tempfile.TemporaryFile("w+")) for _ in range(world)]
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.cli.together", json.dumps(commands)],
                env=os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE, stderr=said[rank], text=True,
            )
            for rank in range(world)
        ]  # fmt: skip
        codes = []
        for rank, process in enumerate(running):
            out = process.communicate(timeout=timeout)[0]
            said[rank].seek(0)
            assert process.returncode == 0, said[rank].read()
            assert rank == 0 or len(out.splitlines()) == 1, out
            codes.append(json.loads(out.splitlines()[-1]))
    return codes


def largest_difference(one: str | Path, other: str | Path) -> float:
    """The largest difference between the weights of two runs, relative to each tensor's largest.

    Without the bias of attention's keys, whose gradient is zero but for rounding: softmax does not
    change if all scores of a query do, and Adam makes steps of full length of any gradient.
    """
    first, second = (load_file(Path(run, "checkpoints/best.safetensors")) for run in (one, other))
    assert first.keys() == second.keys()
    differences = []
    for name, value in first.items():
        change = (value - second[name]).abs()
        if name.endswith("qkv.bias"):
            change = change.unflatten(0, (3, -1))[[0, 2]]
        differences.append(float(change.max() / value.abs().max()))
    return max(differences)


def run(command: list[str]) -> int:
    """The exit code of one command."""
    if not command[0].startswith(STOPS):
        return run_command(command)
    asked, steps = [0], int(command[0].removeprefix(STOPS))
    is_last = distributed.get_rank() == distributed.get_world_size() - 1

    class Signal:
        def __enter__(self) -> Callable[[], bool]:
            return self.is_sent

        def __exit__(self, *_: object) -> None:
            return None

        def is_sent(self) -> bool:
            asked[0] += 1
            return is_last and asked[0] >= steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_stop_signal", Signal)
        return run_command(command[1:])


def main() -> None:
    """Run the commands of this process and print their exit codes."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    print(json.dumps([run(command) for command in json.loads(sys.argv[1])]))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
