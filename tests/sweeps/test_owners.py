"""Signs of life, for processes whose numbers mean nothing here."""

import os
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
    assert is_alive({"owner": elsewhere, "beat": now - 100}, now)
    assert not is_alive({"owner": elsewhere, "beat": now - 130}, now)
