"""Writes a comparison as Markdown, LaTeX (booktabs), CSV and JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from recsys_lab.comparison import cells as tables
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.csv_text import rows_as_csv
from recsys_lab.pages.latex import Tex
from recsys_lab.pages.markdown import Marked, bullets, line, plain, table
from recsys_lab.pages.number_format import decimal
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.comparison.paired_test import Estimate
    from recsys_lab.comparison.results import Comparison, Metric, System

_TESTED = (
    "baseline",
    "difference",
    "difference_low",
    "difference_high",
    "bootstrap_low",
    "bootstrap_high",
    "p",
    "p_permuted",
    "p_holm",
    "covers_seeds",
    "effect_size",
    "wins",
    "ties",
    "losses",
)


def write_exports(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``comparison.md``, ``.tex``, ``.csv`` and ``.json``.

    Args:
        comparison: the comparison.
        folder: an existing folder; existing files are overwritten.
    """
    texts = {
        "comparison.md": markdown(comparison),
        "comparison.tex": latex(comparison),
        "comparison.csv": csv_text(comparison),
        "comparison.json": json_text(comparison),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def markdown(comparison: Comparison) -> str:
    """All tables, including every setting that differs."""

    def heading(text: str) -> str:
        return f"## {plain(tables.marked(comparison, text))}"

    systems = comparison.systems
    heads = [Marked(f"{plain(s.name)}<br>{plain(tables.runs_of(s))}") for s in systems]
    parts = [
        heading(tables.heading(comparison))[1:],
        replace(tables.score_table(comparison, heads), right=()).markdown(),
        line(tables.legend(comparison)),
    ]
    if comparison.pairs:
        rows = [
            [p.metric, f"{p.first} - {p.second}", *tables.pair_cells(p)] for p in comparison.pairs
        ]
        listed = table(["metric", "pair", *tables.PAIR_HEADS], rows)
        parts += [heading("differences, user by user"), listed, line(tables.PAIR_LEGEND)]
    if comparison.slices:
        parts += [heading(f"{comparison.main_metric} by slice"), _slices(comparison)]
    if comparison.differing:
        rows = [
            [key, *(tables.setting(value) for value in values)]
            for key, values in comparison.differing.items()
        ]
        parts += [heading("what differs"), table(["setting", *(s.name for s in systems)], rows)]
    rows = [[r.system, str(r.seed), r.folder] for r in comparison.runs]
    parts += [bullets(comparison.notes), "## runs", table(["system", "seed", "folder"], rows)]
    parts.append(bullets(f"left out: {i.folder}: {i.reason}" for i in comparison.left_out))
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(comparison: Comparison) -> str:
    """A table of metrics by system; needs the LaTeX package booktabs."""
    systems = comparison.systems
    rows = [
        [
            tables.metric_label(metric),
            *(_tex_cell(comparison, metric, i) for i in range(len(systems))),
        ]
        for metric in comparison.metrics
    ]
    caption = f"{tables.heading(comparison)}. {tables.legend(comparison)}"
    heads = ["", *(system.name for system in systems)]
    right = range(1, len(heads))
    data = "-".join(re.findall(r"[a-z0-9]+", tables.heading(comparison).partition(",")[0].lower()))
    label = f"{data}-comparison" if data else "comparison"
    return Table(tables.marked(comparison, caption), heads, rows, right).latex(label)


def csv_text(comparison: Comparison) -> str:
    """One row per system and metric, with its test against the baseline, if any."""
    scored = ("comparable", "system", "seeds", "metric", "mean", "sd", "low", "high", "rank")
    rows: list[list[Any]] = [[*scored, *_TESTED]]
    for metric in comparison.metrics:
        for system, rank in zip(comparison.systems, comparison.ranks(metric), strict=True):
            score = system.scores[metric.name]
            bounds = score.interval and (score.interval.low, score.interval.high)
            row = [comparison.is_comparable, system.name, " ".join(map(str, system.seeds))]
            row += [metric.name, score.mean, score.sd, *(bounds or ("", "")), rank]
            rows.append([*row, *_tested(comparison, metric, system)])
    return rows_as_csv(rows)


def json_text(comparison: Comparison) -> str:
    """The whole `Comparison` with its field names as keys; NaN and infinity become null."""
    fields = {**asdict(comparison), "is_comparable": comparison.is_comparable}
    return json.dumps(_plain(fields), indent=1, allow_nan=False) + "\n"


def _slices(comparison: Comparison) -> str:
    heads = ["slice", "value", "users", *(s.name for s in comparison.systems)]
    for pair in comparison.slices[0].pairs:
        heads += [f"{pair.first} - {pair.second}", "win/tie/loss"]
    rows = []
    for part in comparison.slices:
        cells: list[str] = [part.name, part.value, f"{part.users:,}"]
        cells += [_estimate(mean) for mean in part.means]
        cells += [cell for pair in part.pairs for cell in tables.slice_pair_cells(pair)]
        rows.append(cells)
    return table(heads, rows)


def _estimate(mean: Estimate) -> Marked:
    value, low, high = map(decimal, (mean.value, mean.low, mean.high))
    return Marked(f"{value}<br>{low} - {high}")


def _tex_cell(comparison: Comparison, metric: Metric, index: int) -> Tex:
    system = comparison.systems[index]
    score = system.scores[metric.name]
    rank = tables.shown_ranks(comparison, metric)[index]
    mean = {1: r"\textbf{%s}", 2: r"\underline{%s}", None: "%s"}[rank] % decimal(score.mean)
    sd = "" if score.sd is None else rf" {{\scriptsize$\pm${tables.spread(score)}}}"
    star = tables.baseline_mark(comparison, metric, system).replace("†", r"\dagger")
    return Tex(mean + (f"$^{{{star}}}$" if star else "") + sd)


def _tested(comparison: Comparison, metric: Metric, system: System) -> list[Any]:
    baseline = comparison.baseline or ""
    pair = comparison.pair(metric.name, system.name, baseline)
    if pair is None:
        return [baseline, *[""] * (len(_TESTED) - 1)]
    test, difference = pair.test, pair.test.difference
    return [
        baseline,
        difference.value,
        difference.low,
        difference.high,
        *test.bootstrap,
        test.p,
        test.permutation_p,
        pair.p_holm,
        difference.covers_seeds,
        test.effect_size,
        pair.wins,
        pair.ties,
        pair.losses,
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
