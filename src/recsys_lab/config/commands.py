"""The verbs of the command line and their top-level keys.

A new verb is an entry in `VERBS`, a config ``configs/<verb>.yaml`` and a module
``recsys_lab/cli/<verb>.py`` with ``run(cfg: DictConfig, output_dir: Path) -> None``, which is
imported after the config is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen

from recsys_lab.config import Component, ForModels, is_component

Verify = Literal["full", "sizes"]
"""How files are checked before they are read: by their SHA-256, or only by their lengths."""


_GENERATIVE = ForModels("read_semantic_ids", True, "does not generate semantic IDs")


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
    # Not every model has these.
    loss: Annotated[Component, ForModels("training_loss", False, "makes its own loss")] = field(
        default_factory=Component
    )
    semantic_ids: Annotated[Component, _GENERATIVE] = field(default_factory=Component)
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
    phase: Literal["test", "validation"]
    output: str | None
    prepare: bool
    verify: Verify


@dataclass(frozen=True)
class DatasetsConfig:
    """Top-level keys of ``datasets``."""

    name: str | None
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


@dataclass(frozen=True)
class ShowConfig:
    """Top-level keys of ``show``."""

    run: str
    card: bool
    trec: str | None


@dataclass(frozen=True)
class Verb:
    """Description of a verb, known before its module is imported.

    Attributes:
        summary: one line for ``recsys-lab --help``.
        example: a command line for ``recsys-lab --help``.
        schema: dataclass of its top-level keys.
        positional: the key that a bare argument sets, e.g. ``run`` for ``evaluate RUN_DIR``.
        takes_many: whether several bare arguments are allowed; the key is then a list.
        literal: component keys whose value is a text as typed, not a value of Hydra's grammar,
            unless it is quoted; a key that ends in a dot includes all keys below it, also new ones.
        paths: the same, but in a multirun, commas separate several values, as for top-level keys
            of type ``str``, which are not listed.
        has_run_dir: whether it works in a run directory, which Hydra creates.
    """

    summary: str
    example: str
    schema: type[Any]
    positional: str | None = None
    takes_many: bool = False
    literal: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    has_run_dir: bool = False

    @property
    def composes(self) -> bool:
        """Whether Hydra composes its config from components."""
        return any(map(is_component, get_type_hints(self.schema).values()))


SOURCE_TEXTS = (
    *("data.query", "data.items_query", "data.users_query", "data.url"),
    *("data.separator", "data.timestamp_format"),
)
"""Options of sources whose values contain characters of Hydra's grammar."""

SOURCE_PATHS = (
    *("data.path", "data.validation_path", "data.test_path"),
    *("data.items_path", "data.users_path"),
)
"""Options of sources whose values are paths."""

VERBS: Mapping[str, Verb] = {
    "prepare": Verb(
        "raw log -> prepared dataset (train does this if needed)",
        "recsys-lab prepare data=movielens_1m",
        TrainConfig,
        literal=SOURCE_TEXTS,
        paths=SOURCE_PATHS,
    ),
    "tokenize": Verb(
        "items -> semantic IDs (train does it by itself when a model needs them)",
        "recsys-lab tokenize semantic_ids=residual_kmeans data=movielens_1m",
        TokenizeConfig,
        literal=SOURCE_TEXTS,
        paths=SOURCE_PATHS,
    ),
    "train": Verb(
        "train a model, rank the full catalogue, write a run record",
        "recsys-lab train data=table data.path=log.csv model.num_layers=2",
        TrainConfig,
        literal=SOURCE_TEXTS,
        paths=SOURCE_PATHS,
        has_run_dir=True,
    ),
    "sweep": Verb(
        "search configs with Optuna: on all devices, resumable, with pruning",
        "recsys-lab sweep 'search.params.model.hidden_dim=choice(32,64)' sweep.n_trials=40",
        SweepConfig,
        literal=("search.params.", *SOURCE_TEXTS),
        paths=SOURCE_PATHS,
    ),
    "evaluate": Verb(
        "recompute the test metrics of a finished run",
        "recsys-lab evaluate RUN_DIR",
        EvaluateConfig,
        positional="run",
    ),
    "compare": Verb(
        "test the differences between runs for significance; tables for a paper",
        "recsys-lab compare runs/2026-11-23 baseline=Popularity output=comparison",
        CompareConfig,
        positional="runs",
        takes_many=True,
    ),
    "runs": Verb(
        "list the runs in a folder, filtered and sorted",
        "recsys-lab runs where=model=SASRec sort=-test/ndcg@10",
        RunsConfig,
        positional="dir",
    ),
    "show": Verb(
        "one run in full: data, protocol, results, compute",
        "recsys-lab show RUN_DIR",
        ShowConfig,
        positional="run",
    ),
    "explain": Verb(
        "attribute a user's recommendations to the events of the history",
        "recsys-lab explain RUN_DIR --user 42",
        ExplainConfig,
        positional="run",
    ),
    "datasets": Verb(
        "list the datasets for data=: size, licence, notes",
        "recsys-lab datasets gowalla",
        DatasetsConfig,
        positional="name",
    ),
}
