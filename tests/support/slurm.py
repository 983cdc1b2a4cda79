"""A SLURM of one node, this machine, for as long as a test needs it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.postgres import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")


@contextmanager
def slurm_node(folder: Path) -> Iterator[Path]:
    """Its configuration, for the variable SLURM_CONF; all files stand in a folder."""
    places = os.pathsep.join(["/usr/sbin", os.environ["PATH"]])
    found = {name: shutil.which(name, path=places) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)}")
    conf = _configuration(folder)
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    environment = {**os.environ, "SLURM_CONF": str(conf)}

    def run(name: str, *options: object) -> None:
        command = [str(found[name]), *map(str, options)]
        subprocess.run(command, check=True, capture_output=True, env=environment)

    try:
        run("munged", "--force", "-S", folder / "munge.socket", "--key-file", key, "--pid-file",
            folder / "munge.pid", "--log-file", folder / "munge.log", "--seed-file",
            folder / "seed")  # fmt: skip
        run("slurmctld")
        run("slurmd", "-N", socket.gethostname())
        _wait_for_node(environment, folder)
        yield conf
    finally:
        for name in ("d.pid", "ctld.pid", "munge.pid"):
            with suppress(OSError, ValueError):
                os.kill(int((folder / name).read_text()), signal.SIGTERM)


def _configuration(folder: Path) -> Path:
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    host = socket.gethostname()
    conf = folder / "slurm.conf"
    conf.write_text(f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")
    return conf


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    until = time.time() + 300
    while time.time() < until:
        told = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True,
                              env=environment, check=False)  # fmt: skip
        if told.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = "\n".join((folder / name).read_text()[-500:] for name in ("ctld.log", "d.log"))
    raise AssertionError(f"the node is not idle after 300 s:\n{logs}")
