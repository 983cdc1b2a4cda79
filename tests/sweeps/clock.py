"""A clock of which a test turns the hands: nobody waits."""

from types import SimpleNamespace


class Clock:
    """Takes the place of the module ``time`` in a module.

    Attributes:
        now: seconds.
        slept: the pauses that were made.
    """

    def __init__(self, monkeypatch, module) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        fake = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(module, "time", fake)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
