"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from recsys_lab.config.commands import TrainConfig, Verify

_Limit = Annotated[float, Ge(0)] | None


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
    concurrent_batches: Annotated[int, Ge(1)] | None
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


@dataclass(frozen=True, kw_only=True)
class RetrainConfig(TrainConfig):
    """Top-level keys of ``retrain``: those of the run's stored config, and how it is retrained."""

    run: str
    warm: bool
    window: str | None
    force: bool


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
    mirror: str | None
    dry_run: bool
    rollback: bool
    resamples: Annotated[int, Ge(100)]
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]
    prepare: bool
    verify: Verify


@dataclass(frozen=True)
class DriftConfig:
    """Top-level keys of ``drift``."""

    datasets: Annotated[list[str], MinLen(1)]
    output: str | None
    run: str | None
    k: Annotated[int, Ge(1)]
    users: Annotated[int, Ge(1)]
    days: Annotated[float, Gt(0)] | None
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"]
    resamples: Annotated[int, Ge(1)]
    level: Annotated[float, Gt(0), Lt(1)]
    seed: Annotated[int, Ge(0)]
    max_new_users: _Limit
    max_new_items: _Limit
    max_popularity_js: _Limit
    max_popularity_psi: _Limit
    max_length_psi: _Limit
    max_gap_psi: _Limit
    max_pair_js: _Limit
    max_feature_js: _Limit
    max_feature_psi: _Limit
    max_hit_rate_fall: _Limit
    verify: Verify
