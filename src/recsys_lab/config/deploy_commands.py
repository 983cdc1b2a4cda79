"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from recsys_lab.config.commands import Verify


@dataclass(frozen=True)
class ExportConfig:
    """Top-level keys of ``export``."""

    run: str
    output: str
    k: Annotated[int, Ge(1)]
    program: bool
    int8: bool
    users: bool
    check_users: Annotated[int, Ge(1)]
    prepare: bool
    verify: Verify
