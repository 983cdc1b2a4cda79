"""Starts the processes of one training run on this machine, and ends them together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from recsys_lab.config import Interrupted, UserError, command_line
from recsys_lab.config.cores import usable_cores
from recsys_lab.config.environment import for_workers
from recsys_lab.config.quoting import quoted
from recsys_lab.experiment.distributed import joined_processes, number_of_processes
from recsys_lab.experiment.resume import DEVICES
from recsys_lab.experiment.run_folder import run_folder
from recsys_lab.experiment.several.plan import adopt_slurm, processes_to_start
from recsys_lab.files.faults import MachineFault
from recsys_lab.training.checkpoint_names import LAST

if TYPE_CHECKING:
    from omegaconf import DictConfig

PARENT = "RECSYS_LAB_PARENT"
"""Environment variable with the process id of the command that started this process."""
FOLLOWED = 4
"""Exit code of a process that ended because the first one did."""
INTERRUPTED = 130
"""Exit code of an interruption."""
_TOLD = (2, 3, INTERRUPTED)
"""Exit codes of an error of the user, a verdict and an interruption, which the others share."""
_POLL = 0.1
_GRACE = 20.0
"""Seconds after the end of one process in which the others may end by themselves."""


class Told(Exception):
    """The processes of a run have ended, and the first one has told the user why.

    Args:
        code: its exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the processes of the run ended with exit code {code}")
        self.code = code


@dataclass(frozen=True)
class Team:
    """The processes of one run.

    Args:
        count: how many to start; 1 to train in this process.
        started: how many were started together, this one among them.
        arguments: of the command, as typed.
    """

    count: int
    started: int
    arguments: Sequence[str]

    def train(self, cfg: DictConfig, output_dir: Path) -> Path:
        """Train with all of them, and return the run directory.

        Raises:
            Told: they failed.
            MachineFault: one of them was killed or crashed.
        """
        folder = run_folder(cfg, output_dir)
        arguments = [*self.arguments, f"hydra.run.dir={quoted(str(folder))}"]
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        # The processes meet at a store of this process, whose port the system chooses.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        with ExitStack() as opened:
            logs = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(self.count)]
            running = [
                _start(rank, self.count, store.port, arguments, log)
                for rank, log in enumerate(logs)
            ]
            opened.callback(_kill, running)
            try:
                first = _waited(running)
            except (KeyboardInterrupt, Interrupted):
                _stop(running)
                raise Told(running[0].returncode or INTERRUPTED) from None
            if first is not None:
                _tell(first, running, logs, folder)
        return folder


def team_of(cfg: DictConfig, arguments: Sequence[str], *, multirun: bool) -> Team:
    """The processes that ``train`` starts.

    Args:
        cfg: the whole config.
        arguments: of the command, as typed.
        multirun: whether it trains several runs.

    Raises:
        UserError: the run cannot be trained by so many.
    """
    adopt_slurm(cfg)
    count = processes_to_start(cfg)
    started = number_of_processes()
    if multirun and max(count, started) > 1:
        raise UserError(
            f"{DEVICES}: got {max(count, started)} processes with --multirun, whose runs are "
            f"trained by one each; use {DEVICES}=1 without torchrun, or one command per run"
        )
    return Team(count, started, arguments)


@contextmanager
def joined(team: Team | None) -> Iterator[None]:
    """Join the other processes, if this one was started with others to train one run."""
    if team is None or team.started == 1:
        yield
        return
    with _ended_with_parent(), joined_processes(trains=True):
        yield


def fixed_by_first(make: Callable[[], list[str]], team: Team | None) -> list[str]:
    """Overrides that the first of the started processes makes for all."""
    if team is None or team.started == 1:
        return make()
    from recsys_lab.contracts.processes import from_first

    return from_first(make)


@contextmanager
def _ended_with_parent() -> Iterator[None]:
    """End this process when the one that started it has ended."""
    parent = os.environ.get(PARENT)
    if parent is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            if os.getppid() != int(parent):
                os.kill(os.getpid(), signal.SIGTERM)  # a checkpoint, if it comes to that
                if not done.wait(_GRACE):
                    os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _start(
    rank: int, count: int, port: int, arguments: Sequence[str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    threads = str(max(1, usable_cores() // count))
    own = {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        PARENT: str(os.getpid()),
    }  # fmt: skip
    usual = {"OMP_NUM_THREADS": threads}
    if sys.platform == "linux":
        usual["GLOO_SOCKET_IFNAME"] = "lo"
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "recsys_lab", "train", *arguments],
        env={**usual, **os.environ, **for_workers(), **own},
        stdin=subprocess.DEVNULL,
        # The first one tells the user; the words of the others are shown if they fail.
        stdout=None if rank == 0 else log,
        stderr=None if rank == 0 else subprocess.STDOUT,
        process_group=0,  # this process forwards Ctrl-C
    )


def _waited(running: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait for the end of all, and return the one that failed first; None if none has."""
    first, deadline = None, float("inf")
    while any(process.poll() is None for process in running):
        failed = _failed(running)
        if first is None and failed:
            first, deadline = failed[0], time.monotonic() + _GRACE
        if time.monotonic() > deadline:
            _kill(running)
        time.sleep(_POLL)
    failed = _failed(running)
    return first if first is not None else (failed[0] if failed else None)


def _failed(running: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Those that failed: first those killed, last those that ended because of the others."""
    codes = {rank: process.poll() for rank, process in enumerate(running)}
    failed = [rank for rank, code in codes.items() if code]
    return sorted(failed, key=lambda rank: (codes[rank] == FOLLOWED, (codes[rank] or 0) > 0))


def _stop(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all to write a checkpoint and end; another interruption ends them at once."""
    for process in running:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    with suppress(KeyboardInterrupt, Interrupted):
        _waited(running)


def _kill(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        with suppress(ProcessLookupError):
            if process.poll() is None:
                process.kill()
        process.wait()


def _tell(
    first: int, running: Sequence[subprocess.Popen[bytes]], logs: Sequence[IO[bytes]], folder: Path
) -> None:
    """Raise the error of the process that failed first."""
    code, of_first = running[first].returncode, running[0].returncode
    if code > 0 and (first == 0 or of_first in _TOLD):
        raise Told(of_first)
    logs[first].seek(0)
    words = logs[first].read().decode(errors="replace").strip().splitlines()[-20:]
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    text = f"process {first + 1} of {len(running)} {how}, and the others were ended"
    if (folder / "checkpoints" / LAST).exists():
        again = command_line("train", f"resume={folder}")
        text += f"; the last checkpoint is kept. Resume with: {again}"
    raise MachineFault("\n".join([text, *(f"  {line}" for line in words)]))
