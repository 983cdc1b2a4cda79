"""One line of a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Whether a run on this machine can use something.

    Attributes:
        name: of the option, extra or library.
        usable: whether it is used, or would be if it were chosen.
        reason: what was found; for what is not usable, what is missing.
    """

    name: str
    usable: bool
    reason: str
