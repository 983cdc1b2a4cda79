"""Faults of the machine, for tests: a verb in a process of its own, hit at one of its file calls.

`Machine` starts a process that has imported the lab once and forks for every command. Its folder
is a small file system of its own (tmpfs, in a private mount namespace), which can be made full or
read-only in earnest, so that libraries in Rust and C++ meet the fault as well.

Python's own file calls are met by an audit hook: opening, renaming, making, removing, listing and
bringing to the disk, of whatever lies below the folder.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ROOMY = "size=512m"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "lab.fsync")
_LOOKS = ("os.listdir", "os.scandir")


@dataclass(frozen=True)
class Fault:
    """What happens to a command.

    Attributes:
        errno: what the system says of the call and of all later ones that are alike, or None.
        signal: what the process is sent when it makes the call, or None.
        at: which call, from 1.
        writes: whether only calls that write count, and are refused.
        room: KiB that are free on the file system; None for plenty.
        read_only: whether the file system takes no changes.
        nobody: whether the files are another user's than the one who gives the command.
        no_flock: the error number with which the file system refuses ``flock``, or None.
    """

    errno: int | None = None
    signal: int | None = None
    at: int = 0
    writes: bool = False
    room: int | None = None
    read_only: bool = False
    nobody: bool = False
    no_flock: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal), what it said, its file calls."""

    code: int
    said: str
    calls: int


class Machine:
    """Runs commands; to be closed.

    Attributes:
        folder: as the commands see it, on the file system of their own.
        work: the folder in which all commands work, as this process sees it.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        scratch = tempfile.TemporaryDirectory(prefix="lab-machine-")
        self._scratch = Path(self._held.enter_context(scratch))
        self._scratch.chmod(0o755)
        self.folder = self._scratch / "disk"
        self.folder.mkdir()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._server = subprocess.Popen(
            ["unshare", "--mount", sys.executable, "-m", "tests.support.faults", str(self.folder)],
            cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._answer()
        self.disk = Path(f"/proc/{self._server.pid}/root{self.folder}")
        self.work = self.disk / "work"

    def close(self) -> None:
        """End the process; its file system goes with it."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._held.close()

    def run(self, *arguments: str, fault: Fault | None = None, limit: float = 120) -> Ended:
        """The verb, to its end or to that of the fault.

        Args:
            arguments: after ``recsys-lab``.
            fault: what happens to it.
            limit: seconds.
        """
        said = self._scratch / "said"
        question = {"arguments": arguments, "fault": asdict(fault or Fault()), "said": str(said)}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({**question, "limit": limit}) + "\n")
        self._server.stdin.flush()
        answer = self._answer()
        return Ended(answer["code"], said.read_text(errors="replace"), answer["calls"])

    def keep(self, name: str) -> None:
        """Keep the work as it is, under a name."""
        _copy(self.work, self.disk / name)

    def back_to(self, name: str) -> None:
        """The work as it was when it was kept."""
        _copy(self.disk / name, self.work)

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, "the machine died"
        answer: dict[str, Any] = json.loads(line)
        return answer


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["rm", "-rf", str(target)], check=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _serve(folder: Path) -> None:
    """Fork for every line on stdin."""
    _mount("-t", "tmpfs", "-o", ROOMY, "lab", str(folder))
    (folder / "work").mkdir()

    import recsys_lab.cli.main
    import recsys_lab.cli.verbs.compare
    import recsys_lab.cli.verbs.evaluate
    import recsys_lab.cli.verbs.explain
    import recsys_lab.cli.verbs.runs
    import recsys_lab.cli.verbs.show
    import recsys_lab.cli.verbs.train
    import recsys_lab.training.fit  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        fault = Fault(**question["fault"])
        told, tells = os.pipe()
        if fault.room is not None:
            used = sum(part.stat().st_blocks // 2 for part in folder.rglob("*") if part.is_file())
            _mount("-o", f"remount,size={used + fault.room + 64}k", str(folder))
        if fault.read_only:
            _mount("-o", "remount,ro", str(folder))
        if fault.nobody:
            subprocess.run(["chown", "-R", str(NOBODY), str(folder / "work")], check=True)
        child = os.fork()
        if child == 0:
            os.close(told)
            _command(question, fault, folder / "work", tells)
        os.close(tells)
        code = _waited(child, question["limit"])
        calls = int(os.read(told, 20) or -1)
        os.close(told)
        if fault.room is not None or fault.read_only:
            _mount("-o", f"remount,rw,{ROOMY}", str(folder))
        print(json.dumps({"code": code, "calls": calls}), file=answers, flush=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _waited(child: int, limit: float) -> int:
    end = os.pidfd_open(child)
    if not select.select([end], [], [], limit)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(end)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _command(question: dict[str, Any], fault: Fault, work: Path, tells: int) -> None:
    """In the forked process: become the command, and end with it."""
    from recsys_lab.cli.main import run_command

    code = 70
    try:
        said = os.open(question["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(work)
        os.environ["HOME"] = str(work)
        if fault.nobody:
            _heed_modes()
        calls = _Calls(fault, work)
        sys.argv = ["recsys-lab", *question["arguments"]]
        code = run_command(question["arguments"])
        calls.over = True
        os.write(tells, str(calls.count).encode())
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _heed_modes() -> None:
    """Make root one user among others: drop the capabilities that let it pass by files' modes."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    sets = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    past_modes = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    for place in range(3):
        sets[place] &= ~past_modes
    assert libc.capset(header, sets) == 0


class _Calls:
    """Counts the file calls of this process, and refuses some."""

    def __init__(self, fault: Fault, work: Path) -> None:
        self.fault, self.work = fault, str(work)
        self.count = 0
        self.over = False
        self._process = os.getpid()
        fsync = os.fsync

        def audited(descriptor: int) -> None:
            sys.audit("lab.fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        os.fsync = audited  # type: ignore[assignment]
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.over or os.getpid() != self._process:
            return
        if event == "fcntl.flock" and self.fault.no_flock is not None:
            raise OSError(self.fault.no_flock, os.strerror(self.fault.no_flock))
        if not self._counts(event, arguments):
            return
        self.count += 1
        number = self.fault.errno
        if self.fault.signal is not None and self.count == self.fault.at:
            os.kill(self._process, self.fault.signal)
            time.sleep(0)  # a handler in Python runs before the call
        elif number is not None and self.count >= self.fault.at:
            raise OSError(number, os.strerror(number), arguments[0])

    def _counts(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            writes = bool((arguments[2] or 0) & _WRITING)
        elif event in _CHANGES:
            writes = True
        elif event in _LOOKS:
            writes = False
        else:
            return False
        if self.fault.writes and not writes:
            return False
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self.work)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
