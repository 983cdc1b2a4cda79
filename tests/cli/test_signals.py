"""Signals end any verb cleanly, and workers of sweeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import recsys_lab


class TestSignals:
    """SIGTERM and SIGHUP end any verb as Ctrl-C does; each once for all that asks at once."""

    CODE = """
import os, signal, sys, time
from recsys_lab.cli import main
from recsys_lab.config import signals
signals._ONE_REQUEST = 300.0
def work(arguments):
    number = getattr(signal, arguments[0])
    try:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # at once: the same request
        time.sleep(30)
    finally:
        os.kill(os.getpid(), number)
        if arguments[1:]:
            signals._ONE_REQUEST = 0.0
            os.kill(os.getpid(), number)
        print("tidied up", flush=True)
main._dispatch = work
sys.exit(main.run_command(sys.argv[1:]))
"""

    def run(self, *arguments):
        return subprocess.run(
            [sys.executable, "-c", self.CODE, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_the_first_ends_cleanly(self, name):
        done = self.run(name)
        assert (done.returncode, done.stdout) == (130, "tidied up\n")
        assert f"stopped by {name}" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_second_one_ends_at_once(self):
        done = self.run("SIGTERM", "again")
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")

    def test_a_second_ctrl_c_interrupts_the_tidying(self):
        done = self.run("SIGINT", "again")
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted.\n")


# Stands in for a library that takes long to import, in the middle of which the signal comes; as
# in a compiled module, nobody is there to take the exception of a signal handler.
SLOW_LIBRARY = """
import os, signal, time
class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)
Deaf()
print("going on", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    ("library", "arguments"),
    [("hydra", ["recsys_lab", "train"]), ("torch", ["recsys_lab.sweeps", "plan.json", "0"])],
    ids=["verb", "worker of a sweep"],
)
def test_one_that_is_lost_in_an_import_asks_again(tmp_path, name, library, arguments):
    (tmp_path / f"{library}.py").write_text(SLOW_LIBRARY.format(name=name))
    paths = os.pathsep.join([str(tmp_path), str(Path(recsys_lab.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-P", "-m", *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "going on\n"), done.stderr
    assert "Exception ignored in" in done.stderr  # so it was lost
