"""Commands of the lab as processes that need not import it: torch and Lightning cost seconds each.

A process that has imported the lab, and has done nothing else, forks for every command. The command
is a process like any other: its parent is the one that started it, which waits for it, signals it
and gets its exit code; its process group, folder, environment, files and end are its own. Only the
start of the interpreter is left out.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

_ROOT = Path(__file__).parents[2]
_IMPORTED = (
    "pytorch_lightning", "optuna", "recsys_lab.cli.main", "recsys_lab.cli.app",
    "recsys_lab.cli.verbs.evaluate", "recsys_lab.cli.arguments.plain",
    "recsys_lab.cli.verbs.prepare", "recsys_lab.cli.verbs.sweep",
    "recsys_lab.cli.verbs.train", "recsys_lab.sweeps.worker",
    "recsys_lab.training.fit",
)  # fmt: skip
_SUBREAPER = 36  # of prctl
_OTHERS = ("preexec_fn", "pass_fds", "shell", "start_new_session")
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
_Popen = subprocess.Popen
_to_server: socket.socket | None = None
_server: subprocess.Popen[bytes] | None = None


class Popen(_Popen):  # type: ignore[type-arg]
    """`subprocess.Popen`, which forks for ``python -m recsys_lab...``; Linux."""

    def _execute_child(self, *arguments: Any) -> None:
        """As in the base class; other commands, and those with other options, are left to it."""
        own = inspect.signature(_Popen._execute_child).bind(self, *arguments).arguments
        environment = dict(os.environ if own["env"] is None else own["env"])
        module = _module(own["args"])
        if module is None or any(own[name] for name in _OTHERS) or _has_site(environment):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        words = [str(word) for word in own["args"]]
        wanted = {
            "module": module,
            "arguments": words[words.index("-m") + 2 :],
            "folder": str(own["cwd"] or os.getcwd()),
            "environment": environment,
            "group": os.getpgid(0) if own["process_group"] < 0 else own["process_group"],
        }
        streams = [own[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        inherited = [number if fd == -1 else fd for number, fd in enumerate(streams)]
        self.pid = _asked(_to_server or _start_server(), wanted, inherited)
        self._child_created = True
        self._close_pipe_fds(*(own[name] for name in _PIPES))  # type: ignore[attr-defined]


def _module(args: Any) -> str | None:
    """The module of the lab that a command runs with this interpreter."""
    if isinstance(args, str | bytes | os.PathLike) or str(args[0]) != sys.executable:
        return None
    words = [word for word in map(str, args[1:4]) if word != "-P"]
    is_lab = words[:1] == ["-m"] and words[1].partition(".")[0] == "recsys_lab"
    return words[1] if is_lab else None


def _asked(server: socket.socket, wanted: dict[str, Any], streams: list[int]) -> int:
    """The process id of the new child of this process.

    The server's child, which is the new process's parent, ends at once. The kernel gives the orphan
    to the nearest ancestor that asks for orphans: meanwhile to this process.
    """
    sys.stdout.flush()
    _adopt(True)
    try:
        text = json.dumps(wanted).encode()
        socket.send_fds(server, [len(text).to_bytes(8, "little")], streams)
        server.sendall(text)
        return int.from_bytes(_read(server, 8), "little")
    finally:
        _adopt(False)


def _adopt(orphans: bool) -> None:
    assert ctypes.CDLL(None).prctl(_SUBREAPER, int(orphans), 0, 0, 0) == 0


def _read(connection: socket.socket, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: the other side has ended.
    """
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


def _has_site(environment: dict[str, str]) -> bool:
    """Whether a command reads a ``sitecustomize`` of the test when it starts."""
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    return any(Path(path, "sitecustomize.py").exists() for path in filter(None, paths))


def _start_server() -> socket.socket:
    """The connection to a new server, which ends with this process, or when that is closed."""
    global _to_server, _server
    _to_server, its = socket.socketpair()
    command = [sys.executable, "-P", __file__, str(its.fileno())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with its:
        _server = _Popen(command, env=environment, pass_fds=[its.fileno()], cwd=_ROOT)
    _read(_to_server, 1)  # it has imported everything
    return _to_server


def stop_server() -> None:
    """End the server, if any; processes that it forked are not affected."""
    global _to_server
    if _to_server is not None and _server is not None:
        _to_server.close()
        _to_server = None
        _server.wait(30)


def _serve(client: socket.socket) -> dict[str, Any]:
    """Fork for each request of the client; returns in the new processes, with their requests."""
    while True:
        try:
            head, streams, _, _ = socket.recv_fds(client, 8, 3)
            if not head:
                raise EOFError
            head += _read(client, 8 - len(head))
            wanted: dict[str, Any] = json.loads(_read(client, int.from_bytes(head, "little")))
        except EOFError:
            os._exit(0)
        told, tells = os.pipe()
        between = os.fork()
        if between == 0:
            between = os.getpid()
            new = os.fork()
            if new:
                os.write(tells, new.to_bytes(8, "little"))
                os._exit(0)
            while os.getppid() == between:
                time.sleep(0.001)
            client.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for descriptor in (told, tells, *streams):
                os.close(descriptor)
            return wanted
        os.waitpid(between, 0)
        client.sendall(os.read(told, 8))
        for descriptor in (told, tells, *streams):
            os.close(descriptor)


def _become(wanted: dict[str, Any], paths_before: list[str]) -> None:
    """Be the process that was asked for, up to its main module."""
    global _to_server
    os.setpgid(0, wanted["group"])
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, paths), *(p for p in sys.path if p not in paths_before)]
    importlib.invalidate_caches()
    if wanted["arguments"][:1] != ["sweep"]:
        return
    # It starts workers: from a server of its own, which must be a child of its own.
    own, its = socket.socketpair()
    if os.fork() == 0:
        own.close()
        for number in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        _serve_and_run(its)
    its.close()
    _to_server = own
    subprocess.Popen = Popen  # type: ignore[misc]


def _run(wanted: dict[str, Any]) -> NoReturn:
    """Run the module, as ``python -P -m`` does, to the end of this process.

    The interpreter is not taken apart, which would cost seconds: every page would be copied.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))))
    sys.argv = ["", *wanted["arguments"]]
    code: Any = 0
    try:
        runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    with suppress(BaseException):  # printed by them
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)


def _serve_and_run(client: socket.socket) -> NoReturn:
    """Serve the client; in the new processes, run what it wants."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the client
    wanted = _serve(client)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _become(wanted, paths)
    _run(wanted)


if __name__ == "__main__":
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # the collector would copy every page that it looks at
    its_client = socket.socket(fileno=int(sys.argv[1]))
    its_client.set_inheritable(False)
    its_client.sendall(b"1")
    _serve_and_run(its_client)
