"""Locks: with flock, and on file systems that refuse it."""

import errno
import fcntl
import multiprocessing
import os
import time

import pytest

from recsys_lab.config import UserError
from recsys_lab.files import locks
from recsys_lab.files.locks import Held, hold

SPAWN = multiprocessing.get_context("fork")


@pytest.fixture(params=["flock", *locks.NOT_SUPPORTED])
def kind(request, monkeypatch):
    """A file system with flock, and one for each way to refuse it."""
    if request.param != "flock":

        def refuse(*_):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", refuse)
        monkeypatch.setattr(locks, "BEAT", 0.1)
        monkeypatch.setattr(locks, "LEASE", 2.0)
    return request.param


def _keep(path, ready, end):
    with hold(path, wait=False):
        ready.set()
        end.wait(30)


def holder(path):
    ready, end = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=_keep, args=(path, ready, end))
    process.start()
    assert ready.wait(20)
    return process, end


@pytest.mark.usefixtures("kind")
def test_another_process_cannot_hold_it_and_then_can(tmp_path):
    process, end = holder(tmp_path / "lock")
    with pytest.raises(Held), hold(tmp_path / "lock", wait=False):
        pass
    end.set()
    with hold(tmp_path / "lock", wait=True):
        pass
    process.join()


@pytest.mark.usefixtures("kind")
def test_a_killed_holder_leaves_nothing_behind(tmp_path):
    process, _ = holder(tmp_path / "lock")
    process.kill()
    process.join()
    with hold(tmp_path / "lock", wait=False):
        pass


def test_a_silent_holder_of_another_machine_is_taken_over_by_the_own_clock(tmp_path, monkeypatch):
    """Its marker's time is two hours ahead: the clocks of two machines are not compared."""
    refused = OSError(errno.ENOLCK, "No locks available")

    def refuse(*_):
        raise refused

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "BEAT", 0.1)
    monkeypatch.setattr(locks, "LEASE", 1.0)
    marker = tmp_path / "lock.lease"
    process, _ = holder(tmp_path / "lock")
    text = marker.read_text()
    process.kill()
    process.join()
    marker.write_text(text.replace(f"host={os.uname().nodename}", "host=elsewhere"))
    ahead = time.time() + 7200
    os.utime(marker, (ahead, ahead))
    began = time.monotonic()
    with hold(tmp_path / "lock", wait=False):
        assert 0.9 < time.monotonic() - began < 300


def test_a_link_is_not_followed_and_its_target_not_cut(tmp_path):
    (tmp_path / "precious").write_text("words")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(UserError, match=r"lock: is a symbolic link"),
        hold(tmp_path / "lock", wait=False),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "words"
