"""The verbs of the command line.

A new verb is an entry in `VERBS`, a dataclass of its top-level keys (in `commands` or
`deploy_commands`), a config ``configs/<verb>.yaml`` and a module ``recsys_lab/cli/verbs/<verb>.py``
with ``run(cfg: DictConfig, output_dir: Path) -> None``, which is imported after the config is
checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from recsys_lab.config import is_component
from recsys_lab.config.commands import (
    CompareConfig,
    DashboardConfig,
    DatasetsConfig,
    DoctorConfig,
    EvaluateConfig,
    ExplainConfig,
    InitConfig,
    OptionsConfig,
    PruneConfig,
    RunsConfig,
    ShowConfig,
    SweepConfig,
    TokenizeConfig,
    TrainConfig,
)
from recsys_lab.config.deploy_commands import (
    DriftConfig,
    ExportConfig,
    PromoteConfig,
    RecommendConfig,
    RetrainConfig,
    ServeConfig,
)


@dataclass(frozen=True)
class Verb:
    """Description of a verb, known before its module is imported.

    Attributes:
        summary: one line for ``recsys-lab --help``.
        example: a command line for ``recsys-lab --help``.
        schema: dataclass of its top-level keys.
        positional: the key that a bare argument sets, e.g. ``run`` for ``evaluate RUN_DIR``.
        takes_many: whether several bare arguments are allowed; the key is then a list.
        takes_overrides: whether ``key=value`` of keys that it does not have are bare arguments.
        literal: component keys whose value is a text as typed, not a value of Hydra's grammar,
            unless it is quoted; a key that ends in a dot includes all keys below it, also new ones.
        paths: the same, but in a multirun, commas separate several values, as for top-level keys
            of type ``str``, which are not listed.
        runs: keys that name runs, which may be short references: see `recsys_lab.runs.references`.
        refuses: keys of its schema that it has in common with `train`, but does not take -> why.
        has_run_dir: whether it works in a run directory, which Hydra creates.
        prints_outcome: whether its last line is a JSON object, for schedulers: see
            `recsys_lab.cli.outcome`.
    """

    summary: str
    example: str
    schema: type[Any]
    positional: str | None = None
    takes_many: bool = False
    takes_overrides: bool = False
    literal: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    refuses: Mapping[str, str] = field(default_factory=dict)
    has_run_dir: bool = False
    prints_outcome: bool = False

    @property
    def composes(self) -> bool:
        """Whether Hydra composes its config from components."""
        return any(map(is_component, get_type_hints(self.schema).values()))


SOURCE_TEXTS = (
    *("data.query", "data.items_query", "data.users_query", "data.url"),
    *("data.separator", "data.timestamp_format", "filter.where"),
)
"""Options of the data whose values contain characters of Hydra's grammar."""

SOURCE_PATHS = (
    *("data.path", "data.validation_path", "data.test_path"),
    *("data.items_path", "data.users_path"),
)
"""Options of sources whose values are paths."""

FROM_IS_OF = "it is an option of train and prepare"

VERBS: Mapping[str, Verb] = {
    "init": Verb(
        "look at a file of your own, and propose a config for it",
        "recsys-lab init till.csv",
        InitConfig,
        positional="file",
    ),
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
        refuses={"from": FROM_IS_OF},
    ),
    "train": Verb(
        "train a model, rank the full catalogue, write a run record",
        "recsys-lab train data=table data.path=log.csv model.num_layers=2",
        TrainConfig,
        literal=SOURCE_TEXTS,
        paths=SOURCE_PATHS,
        runs=("resume", "init_from"),
        has_run_dir=True,
    ),
    "sweep": Verb(
        "search configs with Optuna: on all devices, resumable, with pruning",
        "recsys-lab sweep 'search.params.model.hidden_dim=choice(32,64)' sweep.n_trials=40",
        SweepConfig,
        literal=("search.params.", *SOURCE_TEXTS),
        paths=SOURCE_PATHS,
        runs=("init_from",),
        refuses={
            "from": FROM_IS_OF,
            "run_dir": "every trial has its own folder in sweep.dir/sweep.name",
            "resume": "the same command resumes the sweep",
            "group": "the trackers' group of all trials is sweep.name",
            "name": "trials are named by sweep.name and their number",
        },
    ),
    "evaluate": Verb(
        "recompute the test metrics of a finished run",
        "recsys-lab evaluate RUN_DIR",
        EvaluateConfig,
        positional="run",
        runs=("run",),
    ),
    "compare": Verb(
        "test the differences between runs for significance; tables for a paper",
        "recsys-lab compare runs/2026-11-23 baseline=Popularity output=comparison",
        CompareConfig,
        positional="runs",
        takes_many=True,
        runs=("runs",),
    ),
    "runs": Verb(
        "list the runs in a folder, filtered and sorted",
        "recsys-lab runs where=model=SASRec sort=-test/ndcg@10",
        RunsConfig,
        positional="dir",
    ),
    "prune": Verb(
        "delete runs without results, typed as: recsys-lab runs prune",
        "recsys-lab runs prune what=[never_began,failed] older_than=7",
        PruneConfig,
        positional="dir",
    ),
    "dashboard": Verb(
        "a local page over runs, sweeps and comparisons, live",
        "recsys-lab dashboard runs port=8100",
        DashboardConfig,
        positional="dir",
    ),
    "show": Verb(
        "one run in full: data, protocol, results, compute",
        "recsys-lab show RUN_DIR",
        ShowConfig,
        positional="run",
        runs=("run",),
    ),
    "explain": Verb(
        "attribute a user's recommendations to the events of the history",
        "recsys-lab explain RUN_DIR --user 42",
        ExplainConfig,
        positional="run",
        runs=("run",),
    ),
    "recommend": Verb(
        "lists for all users, some, or histories in a file, as Parquet",
        "recsys-lab recommend RUN_DIR output=lists k=20",
        RecommendConfig,
        positional="run",
        runs=("run",),
    ),
    "export": Verb(
        "a finished run -> a folder with ONNX, weights and items, checked against the lab's lists",
        "recsys-lab export RUN_DIR output=shop_model",
        ExportConfig,
        positional="run",
        runs=("run",),
    ),
    "serve": Verb(
        "rank for histories and users over HTTP",
        "recsys-lab serve RUN_DIR port=8000",
        ServeConfig,
        positional="source",
        runs=("source",),
    ),
    "retrain": Verb(
        "train the config of a finished run on newer data, from scratch or from its weights",
        "recsys-lab retrain RUN_DIR data.path=newer.csv warm=true window=90d",
        RetrainConfig,
        positional="run",
        runs=("run",),
        literal=SOURCE_TEXTS,
        paths=SOURCE_PATHS,
        has_run_dir=True,
        prints_outcome=True,
    ),
    "promote": Verb(
        "make a run the champion if it passes the gate; roll back",
        "recsys-lab promote RUN_DIR registry=registry margin=0.01",
        PromoteConfig,
        positional="candidate",
        runs=("candidate",),
    ),
    "drift": Verb(
        "what changed between two logs; exit code 3 above thresholds",
        "recsys-lab drift OLD NEW output=drift",
        DriftConfig,
        positional="datasets",
        takes_many=True,
    ),
    "datasets": Verb(
        "list the datasets for data=: size, licence, notes",
        "recsys-lab datasets gowalla",
        DatasetsConfig,
        positional="name",
    ),
    "doctor": Verb(
        "what this machine has, and which fast paths a run here takes, for bug reports",
        "recsys-lab doctor --format json",
        DoctorConfig,
    ),
    "options": Verb(
        "the config groups, their choices, and every key with meaning, range and default",
        "recsys-lab options model=sasrec",
        OptionsConfig,
        positional="of",
        takes_many=True,
        takes_overrides=True,
    ),
}
