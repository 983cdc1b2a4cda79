"""Signs of life, for processes whose numbers mean nothing here."""

import os
import subprocess
import sys
import time

from recsys_lab.sweeps import owners
from recsys_lab.sweeps.owners import beating, is_alive, myself


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
    trial, begun = Trial(), time.time()
    with beating(trial):
        while len(trial.beats) < 2 and time.time() < begun + 10:
            time.sleep(0.01)
    assert len(trial.beats) >= 2
    assert {key for key, _ in trial.beats} == {"beat"}
    assert begun < trial.beats[0][1] <= trial.beats[1][1] <= time.time()
    told = len(trial.beats)
    time.sleep(0.05)
    assert len(trial.beats) == told


def test_a_process_number_of_another_container_says_nothing():
    """Containers with the host's network have its name and its boot, and all begin at 1."""
    machine = myself()["machine"]
    space = os.readlink("/proc/self/ns/pid")
    assert space in machine
    nobody = {"machine": machine, "pid": 2**22 + 1, "began": "1"}  # more than Linux hands out
    now = time.time()
    assert not is_alive({"owner": nobody, "beat": now})
    elsewhere = {**nobody, "machine": machine.replace(space, "pid:[1]")}
    assert is_alive({"owner": elsewhere, "beat": now}, now)


def test_clocks_of_two_machines_are_not_compared():
    """What counts is whether a new sign of life is seen, by the clock of who looks."""
    owner = {"machine": "another", "pid": 7, "began": "1"}
    for skew in (-1000.0, 0.0, 1000.0):
        now = time.time()
        first = {"owner": {**owner, "pid": skew}, "beat": now + skew}
        assert is_alive(first, now)
        assert is_alive(first, now + 110)
        second = {**first, "beat": now + skew + 20}
        assert is_alive(second, now + 115)
        assert is_alive(second, now + 230)
        assert not is_alive(second, now + 240)
    # No clock is hours wrong: after a reboot nobody has to wait.
    assert not is_alive({"owner": {**owner, "pid": 8}, "beat": time.time() - 7200})


def test_a_process_began_before_its_imports():
    code = (
        "import time; begun = time.time(); time.sleep(0.5)\n"
        "from recsys_lab.sweeps.owners import process_began\n"
        "print(begun - process_began(), time.time() - process_began())"
    )
    before = time.time()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent = time.time() - before
    early, whole = map(float, said.stdout.split())
    assert -0.1 < early < spent
    assert 0.4 < whole < spent + 0.1
