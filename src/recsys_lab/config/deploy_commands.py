"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from recsys_lab.config.commands import Verify


@dataclass(frozen=True)
class PromoteConfig:
    """Top-level keys of ``promote``."""

    candidate: str | None
    registry: str
    margin: Annotated[float, Ge(0), Lt(1)]
    level: Annotated[float, Gt(0), Lt(0.5)]
    metric: str | None
    when_unsure: Literal["refuse", "promote"]
    guard: list[str]
    min_users: Annotated[int, Ge(2)]
    coverage: Annotated[float, Ge(0), Lt(1)] | None
    latency: Annotated[float, Gt(0)] | None
    latency_ms: Annotated[float, Ge(0)]
    force: bool
    export: str | None
    dry_run: bool
    rollback: bool
    resamples: Annotated[int, Ge(100)]
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]
    prepare: bool
    verify: Verify
