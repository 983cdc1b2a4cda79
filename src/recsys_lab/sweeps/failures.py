"""Why a trial failed: the error that ended it, or how its process died."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recsys_lab.config.errors import one_line
from recsys_lab.config.secrets import scrubbed
from recsys_lab.sweeps.storage.attributes import RETRY_OF

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

MOST_DEATHS = 3


def budgeted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count against ``n_trials``: all but failed ones that were run again."""
    replaced = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return [trial for trial in trials if trial.number not in replaced]


def describe_exit(code: int, last_words: str = "") -> str:
    """How a process ended.

    Args:
        code: its exit code, negative where a signal killed it.
        last_words: the last line of its log, if it exited by itself.
    """
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}" + (f" ({last_words})" if last_words else "")


def describe_deaths(ends: Sequence[str]) -> str:
    """Why a trial failed whose process died each time.

    Args:
        ends: texts of `describe_exit`, at least one.
    """
    times = "once" if len(ends) == 1 else f"{len(ends)} times"
    different = list(dict.fromkeys(ends))
    if len(different) == 1:
        text = f"its process {different[0]}" + ("" if len(ends) == 1 else f" {times}")
    else:
        text = f"its process died {times}: it {'; '.join(ends)}"
    return text + ("; out of memory?" if any("SIGKILL" in end for end in ends) else "")


def cause_of(error: BaseException) -> str:
    """Why a trial failed, in one line."""
    from recsys_lab.training.memory_estimate import CannotFit  # torch: a study does not need it

    if isinstance(error, CannotFit):
        return scrubbed(one_line(error))
    if is_out_of_memory(error):
        return scrubbed(f"out of memory: {one_line(error)}")
    return scrubbed(f"{type(error).__name__}: {one_line(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine ran out of memory; torch has no class for the latter."""
    import torch

    message = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in message for words in ("out of memory", "can't allocate memory")
    )


def smaller_batch_helps(error: BaseException) -> bool:
    """Whether memory ran out for more than the weights."""
    from recsys_lab.training.memory_estimate import CannotFit

    if isinstance(error, CannotFit):
        return not error.whatever_batch
    return is_out_of_memory(error)
