"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from recsys_lab.config.commands import Verify


@dataclass(frozen=True)
class RecommendConfig:
    """Top-level keys of ``recommend``."""

    run: str
    output: str
    k: Annotated[int, Ge(1)]
    users: str | None
    histories: str | None
    as_of: str | None
    exclude_seen: bool | None
    candidates: str | None
    blocklist: str | None
    where: str | None
    cap: str | None
    format: Literal["parquet", "csv", "jsonl"]
    shard_users: Annotated[int, Ge(1)]
    prepare: bool
    verify: Verify
