"""A PostgreSQL server of Debian's, for as long as a test needs it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "shop", "s3cret/with@signs"


@contextmanager
def postgres_server(folder: Path) -> Iterator[int]:
    """The port of a server with its data in a folder; `USER` must give `PASSWORD`."""
    found = [shutil.which("pg_ctl"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))]
    programs = [Path(name) for name in found if name]
    if not programs:
        pytest.skip("PostgreSQL is not installed")
    bin_dir = programs[-1].resolve().parent
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        for place in (folder, *folder.parents):
            if place.owner() != "root" or place == Path("/tmp"):
                break
            place.chmod(0o755)
        shutil.chown(folder, "postgres")
    (folder / "password").write_text(PASSWORD)
    shutil.copymode(__file__, folder / "password")
    data, port = folder / "data", free_port()

    def run(*command):
        subprocess.run([*as_user, *map(str, command)], check=True, capture_output=True, cwd="/")

    run(bin_dir / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256",
        f"--pwfile={folder / 'password'}")  # fmt: skip
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(bin_dir / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "-t", "300",
        "start")  # fmt: skip
    try:
        yield port
    finally:
        run(bin_dir / "pg_ctl", "-D", data, "-m", "immediate", "-t", "300", "stop")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
