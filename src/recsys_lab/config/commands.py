"""The top-level keys of the verbs that make and judge runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from recsys_lab.config import Component, ForModels, OptionForModels

Verify = Literal["full", "sizes"]
"""How files are checked before they are read: by their SHA-256, or only by their lengths."""


_GENERATIVE = ForModels("read_semantic_ids", True, "does not generate semantic IDs")
_OF_VECTORS = OptionForModels(
    "reads_vectors", "vectors", "reads the item vectors that its codes are made from"
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Top-level keys of ``train`` and ``prepare``."""

    data: Component
    filter: Component
    split: Component
    engine: Component
    model: Component
    inputs: Component
    recipe: Component
    evaluation: Component
    tracking: Component
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]
    prepared_dir: str
    fail_on_leaks: bool | list[str] | str
    run_dir: str
    resume: str | None
    name: str | None
    group: str | None
    tags: list[str]
    notes: str | None
    # With defaults, as configs of older runs, which can be resumed, lack these keys.
    verify: Verify = "full"
    init_from: str | None = None
    debug: str | None = None
    from_: str | None = None
    # Not every model has these.
    loss: Annotated[Component, ForModels("training_loss", False, "makes its own loss")] = field(
        default_factory=Component
    )
    semantic_ids: Annotated[Component, _GENERATIVE, _OF_VECTORS] = field(default_factory=Component)
    decoding: Annotated[Component, _GENERATIVE] = field(default_factory=Component)


@dataclass(frozen=True, kw_only=True)
class TokenizeConfig(TrainConfig):
    """Top-level keys of ``tokenize``: those of ``train``, whatever the model."""

    semantic_ids: Component
    decoding: Component = field(default_factory=Component)
    compare_with: str | None


@dataclass(frozen=True, kw_only=True)
class SweepConfig(TrainConfig):
    """Top-level keys of ``sweep``: those of ``train``, the search and its workers."""

    sweep: Component
    launcher: Component
    search: Component


@dataclass(frozen=True)
class EvaluateConfig:
    """Top-level keys of ``evaluate``."""

    run: str
    output: str | None
    prepare: bool
    verify: Verify


@dataclass(frozen=True)
class ExplainConfig:
    """Top-level keys of ``explain``."""

    run: str
    user: str
    list: Annotated[int, Ge(1)] | None
    k: Annotated[int, Ge(1)]
    method: Literal["occlusion", "integrated_gradients"]
    replacements: Annotated[int, Ge(4)]
    phase: Literal["test", "validation"]
    output: str | None
    prepare: bool
    verify: Verify


@dataclass(frozen=True)
class InitConfig:
    """Top-level keys of ``init``."""

    file: str
    name: str | None
    output: str
    rows: Annotated[int, Ge(1)]
    user: str | None
    item: str | None
    time: str | None


@dataclass(frozen=True)
class DatasetsConfig:
    """Top-level keys of ``datasets``."""

    name: str | None
    format: Literal["table", "json"]
    config_dir: str | None


@dataclass(frozen=True)
class OptionsConfig:
    """Top-level keys of ``options``."""

    of: list[str]
    format: Literal["table", "json"]
    config_dir: str | None


@dataclass(frozen=True)
class CompareConfig:
    """Top-level keys of ``compare``."""

    runs: Annotated[list[str], MinLen(1)]
    by: Literal["config", "group", "name"]
    baseline: str
    metric: str | None
    force: bool
    output: str | None
    level: Annotated[float, Gt(0), Lt(1)]
    resamples: Annotated[int, Ge(100)]
    permutations: Annotated[int, Ge(100)]
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]


@dataclass(frozen=True)
class RunsConfig:
    """Top-level keys of ``runs``."""

    dir: str
    where: str | None
    sort: str
    columns: list[str] | None
    limit: Annotated[int, Ge(1)] | None
    format: Literal["table", "json", "csv"]
    all: bool
    watch: bool


@dataclass(frozen=True)
class PruneConfig:
    """Top-level keys of ``runs prune``."""

    dir: str
    what: Annotated[list[Literal["never_began", "failed", "interrupted"]], MinLen(1)]
    older_than: Annotated[float, Ge(0)]
    registries: list[str]
    yes: bool


@dataclass(frozen=True)
class DashboardConfig:
    """Top-level keys of ``dashboard``."""

    dir: str
    host: str
    port: Annotated[int, Ge(0), Le(65535)]
    refresh_s: Annotated[float, Ge(0.2)]


@dataclass(frozen=True)
class ShowConfig:
    """Top-level keys of ``show``."""

    run: str
    card: bool
    trec: str | None


@dataclass(frozen=True)
class DoctorConfig:
    """Top-level keys of ``doctor``."""

    format: Literal["table", "json"]
