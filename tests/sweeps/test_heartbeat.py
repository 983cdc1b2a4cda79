"""Signs of life, for processes whose numbers mean nothing here."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from recsys_lab.sweeps import heartbeat as owners
from recsys_lab.sweeps.heartbeat import heartbeat, is_alive, process_identity


class Trial:
    """Its storage does not answer the first time."""

    def __init__(self):
        self.asked = 0
        self.beats = []

    def set_user_attr(self, key, value):
        self.asked += 1
        if self.asked == 1:
            raise ConnectionError("the database is away")
        self.beats.append((key, value))


def test_a_storage_that_is_away_once_does_not_end_the_signs_of_life(monkeypatch):
    monkeypatch.setattr(owners, "BEAT_SECONDS", 0.01)
    trial, until = Trial(), time.monotonic() + 300
    with heartbeat(trial):
        while len(trial.beats) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert len(trial.beats) >= 2
    assert {key for key, _ in trial.beats} == {"beat"}
    assert len({value for _, value in trial.beats}) == len(trial.beats)  # new ones, of no clock
    error_tail = len(trial.beats)
    time.sleep(0.05)
    assert len(trial.beats) == error_tail


def test_a_process_number_of_another_container_says_nothing():
    """Containers with the host's network have its name and its boot, and all begin at 1."""
    machine = process_identity()["machine"]
    space = os.readlink("/proc/self/ns/pid")
    assert space in machine
    nobody = {"machine": machine, "pid": 2**22 + 1, "began": "1"}  # more than Linux hands out
    assert not is_alive({"owner": nobody, "beat": 1})
    elsewhere = {**nobody, "machine": machine.replace(space, "pid:[1]")}
    assert is_alive({"owner": elsewhere, "beat": 1}, 0.0)


ELSEWHERE = {"machine": "another", "pid": 7, "began": "1"}


@pytest.mark.parametrize("skew", [-7200.0, 0.0, 7200.0])
def test_no_clock_of_two_machines_is_compared(monkeypatch, skew):
    """Neither the time of day here nor a sign of life that looks like a time says anything."""
    monkeypatch.setattr(owners, "_seen", {})
    monkeypatch.setattr(time, "time", lambda: 1e9 + skew)

    def lives(beat: float, begin: float, end: float) -> list[bool]:
        """What is seen every 10 seconds."""
        trial = {"owner": ELSEWHERE, "beat": beat}
        return [is_alive(trial, float(now)) for now in np.arange(begin, end, 10)]

    assert all(lives(1e9, 0, 120))
    assert all(lives(1e9 + 20, 120, 240))  # a new one
    assert lives(1e9 + 20, 240, 270) == [False, False, False]
    assert lives(5.0, 270, 280) == [True]  # a new one that is a smaller number


def test_time_in_which_nobody_looked_is_no_silence(monkeypatch):
    """The storage was away for everybody: no beat could be written."""
    monkeypatch.setattr(owners, "_seen", {})
    trial = {"owner": ELSEWHERE, "beat": 3}
    assert is_alive(trial, 0.0)
    assert is_alive(trial, 50.0)
    assert is_alive(trial, 3600.0)
    assert all(is_alive(trial, 3600.0 + 20 * look) for look in range(1, 4))
    assert not is_alive(trial, 3680.0)


def test_a_dead_process_is_the_concern_of_whoever_began_it(monkeypatch):
    """It knows how the process ended, and gives the trial free when that is noted."""
    monkeypatch.setenv("RECSYS_LAB_SWEEP_PARENT", str(os.getppid()))
    mine = process_identity("w1")
    assert mine["worker"] == "w1"
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    dead = {**mine, "pid": gone.pid}
    assert is_alive({"owner": dead})
    assert not is_alive({"owner": {**dead, "parent": {"pid": gone.pid, "began": "1"}}})
    monkeypatch.setenv("RECSYS_LAB_SWEEP_PARENT", "1234567")  # it is gone, too: another took over
    assert process_identity()["parent"] is None


def test_a_process_began_before_its_imports():
    code = (
        "import time; begun = time.time(); time.sleep(0.5)\n"
        "from recsys_lab.sweeps.heartbeat import process_began\n"
        "print(begun - process_began(), time.time() - process_began())"
    )
    before = time.time()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent = time.time() - before
    early, whole = map(float, said.stdout.split())
    assert -0.1 < early < spent
    assert 0.4 < whole < spent + 0.1
