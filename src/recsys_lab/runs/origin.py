"""The initial weights of a run with ``init_from``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsys_lab.runs.record import REFIT_WEIGHTS


def are_of_refit(taken: Mapping[str, Any]) -> bool:
    """Whether they come from a refit, and so were trained on validation events too.

    Args:
        taken: ``init_from`` of the record; older records without ``weights`` used the best ones.
    """
    return taken.get("weights") == REFIT_WEIGHTS


def first_weights(taken: Mapping[str, Any]) -> str:
    """A readable name of the weights."""
    which = "refit" if are_of_refit(taken) else "best"
    return f"{which} weights of {taken['name']} ({taken['weights_sha256'][:8]})"
