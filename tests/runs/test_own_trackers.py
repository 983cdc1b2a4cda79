"""Trackers of the user's own: what they receive, and that a broken one costs nothing."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from recsys_lab.config import UserError
from recsys_lab.tracking.base import End, Tracker
from tests.tracking.test_tracking import RUN, logged, tracking


class Own(Tracker):
    """Keeps what it receives; fails, or is off, where it is told to."""

    kept: ClassVar[list] = []

    @dataclass(frozen=True)
    class Config:
        mark: str
        fails: str = ""

    def __init__(self, config):
        super().__init__(config)
        self.failing("init")

    def failing(self, where):
        if self.config.fails == where:
            raise ConnectionError(f"no {where}")

    def start(self, run, _folder):
        self.failing("start")
        if self.config.fails == "mistake":
            raise UserError("my_tracker: give it a mark")
        self.kept.append((self.config.mark, "start", run.id))
        return None if self.config.fails == "off" else f"id-{self.config.mark}"

    def log(self, metrics, step):
        self.failing("log")
        self.kept.append((self.config.mark, dict(metrics), step))

    def finish(self, end):
        self.failing("finish")
        self.kept.append((self.config.mark, dict(end.summary), end.failed))


def own(mark, fails=""):
    return {"_target_": f"{__name__}.Own", "mark": mark, "fails": fails}


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", __name__)
    monkeypatch.setattr(Own, "kept", [])
    return Own.kept


def test_trackers_of_ones_own_receive_everything(tmp_path, kept):
    chosen = tracking(own("a"), own("b"), own("a"), "csv")
    ids = chosen.start(RUN, tmp_path, {})
    assert [*ids.values()] == ["id-a", "id-b", "a run"]  # the second of two equal ones is left out
    logged(chosen, values=(0.5,))
    for logger in chosen.loggers():
        logger.finalize("success")
    chosen.finish(End({"best/epoch": 0}))
    epoch = {"val/ndcg@10": 0.5, "epoch": 1}  # Lightning logs 0: people count from 1
    for mark in "ab":
        received = [event for event in kept if event[0] == mark]
        assert received == [
            (mark, "start", None),
            (mark, epoch, 0),
            (mark, {"best/epoch": 0}, False),
        ]
    kept.clear()
    again = tracking(own("b"), own("a"))
    assert again.start(RUN, tmp_path, ids) == {k: v for k, v in ids.items() if k != "csv"}
    assert kept == [("b", "start", "id-b"), ("a", "start", "id-a")]


@pytest.mark.parametrize("fails", ["init", "start", "log", "finish"])
def test_one_of_ones_own_that_fails_costs_nothing(tmp_path, kept, caplog, fails):
    chosen = tracking(own("a", fails), own("b"))
    chosen.start(RUN, tmp_path, {})
    logged(chosen)
    chosen.finish(End({}))
    assert f"no {fails}" in caplog.text
    assert "the run continues" in caplog.text
    assert len([event for event in kept if event[0] == "b"]) == 5


def test_one_that_is_off_and_one_that_is_wrong(tmp_path, kept):
    chosen = tracking(own("a", "off"))
    assert chosen.start(RUN, tmp_path, {}) == {}
    assert chosen.loggers() == []
    chosen.finish(End({}))
    assert kept == [("a", "start", None)]
    with pytest.raises(UserError, match="give it a mark"):
        tracking(own("a", "mistake")).start(RUN, tmp_path, {})
    other = tracking({"_target_": "recsys_lab.tracking.tracking.Tracking"})
    with pytest.raises(UserError, match=r"not a valid tracker: derive it from .*base\.Tracker"):
        other.start(RUN, tmp_path, {})
