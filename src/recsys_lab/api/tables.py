"""Lists and comparisons of runs as polars frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recsys_lab.api.arguments import folder_of, require_valid
from recsys_lab.comparison import collect
from recsys_lab.comparison.compare import Options
from recsys_lab.comparison.compare import compare as compare_runs
from recsys_lab.comparison.export import csv_text
from recsys_lab.config import UserError
from recsys_lab.config.commands import CompareConfig, TrainConfig
from recsys_lab.runs.listing import FIRST_COLUMNS, Row, list_runs

_NOT_SETTINGS = ("seed", "name", "run_dir", "prepared_dir", "resume", "verify", "tracking")


def find_runs(folder: Path | str) -> pl.DataFrame:
    """The runs below a folder, at any depth, including the trials of sweeps.

    Args:
        folder: e.g. ``runs``, or the folder of a sweep.

    Returns:
        One row per run: ``path``, ``name``, ``model``, ``data``, ``seed``, ``status``
        (``unreadable`` for a damaged record), ``created``, ``seconds``, every key of the config
        that differs between the runs, and the metrics ``test/NAME`` and ``validation/NAME``.

    Raises:
        UserError: there is no such folder.
    """
    rows = list_runs(folder_of("find_runs", folder))
    keys = list(dict.fromkeys(key for row in rows for key in row))
    metrics = [key for key in keys if key.startswith(("test/", "validation/"))]
    columns = [*FIRST_COLUMNS, *_differing(rows, keys), *metrics]
    table = [
        {
            "path": str(Path(folder) / row["folder"]),
            **{key: _plain(row.get(key)) for key in columns},
        }
        for row in rows
    ]
    schema = None if table else dict.fromkeys(["path", *columns], pl.String)
    return pl.DataFrame(table, schema=schema, infer_schema_length=None, strict=False)


def _differing(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """Keys of the configs that differ."""
    groups = set(TrainConfig.__dataclass_fields__) - {*_NOT_SETTINGS}
    known = [row for row in rows if row["status"] != "unreadable"]
    of_configs = [key for key in keys if key.partition(".")[0] in groups]
    own = [key for key in of_configs if key not in FIRST_COLUMNS]
    return [key for key in own if len({_text(row.get(key)) for row in known}) > 1]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    return _text(value) if isinstance(value, list | dict) else value


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        scores: one row per system and metric: ``mean``, ``sd`` over seeds, the 95% interval
            ``low`` .. ``high``, ``rank``, and the test against ``baseline``: ``difference`` with
            its interval, ``p`` and ``p_holm`` (corrected for the number of tests), ``wins``.
        cautions: reasons to distrust the numbers, in sentences.
    """

    scores: pl.DataFrame
    cautions: tuple[str, ...]


def compare(
    runs: Sequence[Path | str] | Path | str,
    *,
    baseline: str = "first",
    metric: str | None = None,
    by: Literal["config", "group", "name"] = "config",
    level: float = 0.05,
    force: bool = False,
    resamples: int = 2000,
    permutations: int = 10000,
    seed: int = 0,
) -> Comparison:
    """Compare runs with significance tests, like ``recsys-lab compare RUNS``.

    Args:
        runs: run directories, folders with runs, names of sweeps, or globs.
        baseline: a system's name, ``first``, or ``none`` to test all pairs.
        metric: the main metric; None for the model selection metric of the runs.
        by: ``config`` groups runs into systems by their config; ``group`` and ``name`` by their
            config and this label.
        level: significance level.
        force: also compare runs with different protocols.
        resamples: number of bootstrap resamples.
        permutations: number of sign permutations of the users' differences.
        seed: of both.

    Raises:
        UserError: there is nothing to compare, the protocols differ, or the baseline or the metric
            does not exist.
    """
    options: dict[str, Any] = {
        "baseline": baseline,
        "metric": metric,
        "by": by,
        "level": level,
        "resamples": resamples,
        "permutations": permutations,
        "seed": seed,
    }
    require_valid("compare", CompareConfig, options)
    named = [runs] if isinstance(runs, str | Path) else list(runs)
    if not named:
        raise UserError("compare: got no runs; give run directories or folders with runs")
    records, left_out = collect.find_runs([str(run) for run in named])
    if not force:
        collect.refuse_unlike(records)
    result = compare_runs(records, left_out, Options(**options))
    scores = pl.read_csv(StringIO(csv_text(result)), infer_schema_length=None)
    return Comparison(scores, tuple(result.notes))
