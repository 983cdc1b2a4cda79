"""How the process of a trial ended when it did not say so itself."""

from __future__ import annotations

import signal
from collections.abc import Sequence

MOST_DEATHS = 3


def describe_exit(code: int, last_words: str = "") -> str:
    """How a process ended.

    Args:
        code: its exit code, negative where a signal killed it.
        last_words: the last line of its log, for an end of its own.
    """
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}" + (f" ({last_words})" if last_words else "")


def describe_deaths(ends: Sequence[str]) -> str:
    """Why a trial has failed whose process died each time.

    Args:
        ends: as `describe_exit` tells them, at least one.
    """
    times = "once" if len(ends) == 1 else f"{len(ends)} times"
    different = list(dict.fromkeys(ends))
    if len(different) == 1:
        said = f"its process {different[0]}" + ("" if len(ends) == 1 else f" {times}")
    else:
        said = f"its process died {times}: it {'; '.join(ends)}"
    return said + ("; out of memory?" if any("SIGKILL" in end for end in ends) else "")
