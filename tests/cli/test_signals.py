"""Signals end any verb cleanly."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


class TestSignals:
    """SIGTERM and SIGHUP end any verb as Ctrl-C does."""

    CODE = """
import os, signal, sys, time
from recsys_lab.cli import main
def work(arguments):
    number = getattr(signal, arguments[0])
    try:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # at once: the same request
        time.sleep(30)
    finally:
        os.kill(os.getpid(), number)
        if arguments[1:]:
            time.sleep(1.2)
            os.kill(os.getpid(), number)
        print("tidied up", flush=True)
main._dispatch = work
sys.exit(main.run_command(sys.argv[1:]))
"""

    def run(self, *arguments):
        return subprocess.run(
            [sys.executable, "-c", self.CODE, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_the_first_ends_cleanly(self, name):
        done = self.run(name)
        assert (done.returncode, done.stdout) == (130, "tidied up\n")
        assert f"stopped by {name}" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_second_one_ends_at_once(self):
        done = self.run("SIGTERM", "again")
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")

    def test_one_whose_exception_is_lost_asks_again(self):
        code = """
import os, signal, sys, time
from recsys_lab.cli import main
class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
def work(arguments):
    Deaf()
    print("going on", flush=True)
    time.sleep(30)
main._dispatch = work
sys.exit(main.run_command([]))
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
        )
        assert (done.returncode, done.stdout) == (130, "going on\n")
        assert "stopped by SIGTERM" in done.stderr
