"""Which weights a run began with that ``init_from`` gave some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsys_lab.runs.record import REFIT_WEIGHTS


def are_of_refit(taken: Mapping[str, Any]) -> bool:
    """Whether they are of a refit, so that they have learned from validation events, too.

    Args:
        taken: ``init_from`` of the record; older ones, without ``weights``, took the best ones.
    """
    return taken.get("weights") == REFIT_WEIGHTS


def first_weights(taken: Mapping[str, Any]) -> str:
    """Which they are, and whose, for people."""
    which = "refit" if are_of_refit(taken) else "best"
    return f"{which} weights of {taken['name']} ({taken['weights_sha256'][:8]})"
