"""Writes the model card of a run, as Markdown and as an HTML page."""

from __future__ import annotations

import logging
from math import isfinite
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.secrets import scrubbed
from recsys_lab.files.atomic import remove_dead_temporaries, write_text
from recsys_lab.pages import markdown
from recsys_lab.pages.charts.xy import Axis, Series, padded, xy_chart
from recsys_lab.pages.markup import Markup, render
from recsys_lab.pages.number_format import counted
from recsys_lab.pages.table import Table
from recsys_lab.runs.model_card import facts, tables
from recsys_lab.runs.model_card.facts import Facts
from recsys_lab.runs.model_card.limits import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from recsys_lab.runs.record import RunRecord

    Values = Mapping[str, Any]
    Part = tuple[str, Sequence[Table | Facts]]

CARD, PAGE = "card.md", "card.html"
_log = logging.getLogger(__name__)


def write_card(record: RunRecord) -> list[Path]:
    """Write ``card.md`` and ``card.html`` into a run's directory.

    Args:
        record: of a run; fields that an older or unfinished run lacks are left out.

    Returns:
        The files.
    """
    remove_dead_temporaries(record.folder)  # a card is written without a lock on the run
    slices = _slices(record)
    texts = {CARD: as_markdown(record.values, slices), PAGE: as_page(record.values, slices)}
    for name, text in texts.items():
        write_text(record.folder / name, text)
    return [record.folder / name for name in texts]


def card_of(record: RunRecord) -> str:
    """The card of a run as Markdown."""
    return as_markdown(record.values, _slices(record))


def page_of(record: RunRecord) -> str:
    """The card of a run as HTML, without secrets, whoever wrote its record."""
    return as_page(scrubbed(record.values), _slices(record))


def as_markdown(values: Values, slices: Sequence[Values]) -> str:
    """The card as Markdown.

    Args:
        values: the content of ``run.json``.
        slices: rows of ``slices.parquet`` of the main metric.
    """
    parts = [
        f"# Model card: {markdown.plain(_name(values))}",
        markdown.plain(facts.model_sentence(values)),
    ]
    for heading, blocks in _parts(values, slices):
        parts.append(f"## {heading}")
        for block in blocks:
            if isinstance(block, Table):
                parts += [markdown.plain(block.caption), block.markdown()]
            else:
                parts += [f"### {markdown.plain(block.heading)}"] if block.heading else []
                parts.append(markdown.table(("", ""), block.rows) if block.rows else "None.")
        if heading == "Results":
            parts += ["## Limits", markdown.bullets(limits(values, slices))]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_page(values: Values, slices: Sequence[Values]) -> str:
    """The card as HTML; arguments as for `as_markdown`."""
    return render(
        "runs/model_card/page.html",
        name=_name(values),
        lead=facts.model_sentence(values),
        tiles=facts.key_figures(values),
        parts=list(_parts(values, slices)),
        curves=list(_curves(values)),
        limits=list(limits(values, slices)),
    )


def _parts(values: Values, slices: Sequence[Values]) -> Iterator[Part]:
    """Headings with their contents; the limits follow the results."""
    parts: list[Part] = [
        ("Results", [*tables.results(values), *tables.slice_grids(slices)] or [Facts("", [])]),
        ("Off-policy estimates", list(tables.off_policy_grids(values))),
        ("Fairness", list(tables.fairness_grids(values))),
        ("Training", list(tables.curve_grids(values))),
        ("Compute", _facts(facts.compute_rows(values))),
        ("Model", list(facts.model_facts(values))),
        ("Semantic IDs", _facts(facts.semantic_id_rows(values))),
        ("Data and protocol", list(facts.data_facts(values))),
        ("Provenance", _facts(facts.origin_rows(values))),
    ]
    yield from (part for part in parts if part[1])


def _facts(rows: Sequence[tuple[str, str]]) -> list[Facts]:
    return [Facts("", rows)] if rows else []


def _curves(values: Values) -> Iterator[tuple[str, Markup]]:
    """The model selection metric and the loss by epoch, with the best epoch marked."""
    best = (values.get("best") or {}).get("epoch", -1) + 1
    for key, name in ((f"val/{tables.main_metric(values)}", "metric"), ("train/loss", "loss")):
        points = [
            (row["epoch"] + 1.0, float(row[key]), f"epoch {row['epoch'] + 1}: {row[key]:.4f}")
            for row in values.get("epochs") or []
            if row.get(key) is not None and isfinite(row[key])
        ]
        if not points:
            continue
        lines = [Series(points, "line", label=key)] if len(points) > 1 else []
        dots = Series([point for point in points if point[0] - 1 == best or len(points) == 1])
        chart = xy_chart(
            [*lines, dots],
            Axis("epoch", 1.0, max(points[-1][0], 2.0), whole=True),
            padded(key, [value for _, value, _ in points]),
            key=f"curve-{name}",
            title=f"{key} by epoch",
            description=f"{counted(len(points), 'epoch')}, {key} from {points[0][1]:.4f} to "
            f"{points[-1][1]:.4f}; the dot is the best epoch.",
        )
        yield key, chart


def _name(values: Values) -> str:
    return str(values.get("name") or "run")


def _slices(record: RunRecord) -> list[dict[str, Any]]:
    """The slices of the main metric; empty where the file is missing or damaged."""
    try:
        slices = record.slices()
    except UserError as error:
        _log.warning("the card lacks the slices: %s", error)
        return []
    if slices is None:
        return []
    return slices.filter(slices["metric"] == tables.main_metric(record.values)).to_dicts()
