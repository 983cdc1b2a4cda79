"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from recsys_lab.config.commands import Verify


@dataclass(frozen=True)
class ServeConfig:
    """Top-level keys of ``serve``."""

    source: str
    backend: Literal["run", "export"]
    host: str
    port: Annotated[int, Ge(0), Le(65535)]
    k: Annotated[int, Ge(1)]
    max_wait_ms: Annotated[float, Ge(0), Le(10_000)]
    max_batch: Annotated[int, Ge(1)]
    max_k: Annotated[int, Ge(1)]
    max_lists: Annotated[int, Ge(1)]
    max_history: Annotated[int, Ge(1)]
    long_history: Literal["refuse", "truncate"]
    max_body_kib: Annotated[int, Ge(1)]
    max_queue: Annotated[int, Ge(1)]
    timeout_s: Annotated[float, Gt(0)]
    shutdown_s: Annotated[int, Ge(0)]
    poll_s: Annotated[float, Gt(0)]
    token_env: str | None
    token_file: str | None
    threads: Annotated[int, Ge(1)] | None
    verify: Verify
