"""The comparison as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.deploy.drift import words
from recsys_lab.pages.charts.xy import Axis, Series, legend, xy_chart
from recsys_lab.pages.markup import Markup, join, render
from recsys_lab.pages.number_format import number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDE = 960


def html(result: Mapping[str, Any]) -> str:
    """The page.

    Args:
        result: of `recsys_lab.deploy.drift.report.drift`.
    """
    old, new = result["old"], result["new"]
    measures = {shift["part"]: shift["measure"] for shift in result["shifts"]}
    parts = [
        (words.part_name(name), _part(name, rows, measures.get(name, "")))
        for name, rows in result["details"].items()
        if rows
    ]
    return render(
        "deploy/drift/page.html",
        result=result,
        verdict=words.verdict(result),
        lead=f"OLD: {old['path']} · NEW: {new['path']}",
        tiles=[
            ("above their threshold", str(len(result["above"]))),
            ("events of NEW", number(new["events"])),
            ("users of NEW not in OLD", percent(result["users"]["new_share"])),
            ("events of NEW on new items", percent(result["items"]["events_on_only_new"])),
        ],
        shifts=words.shifts_table(result),
        logs=words.logs_table(result),
        overlap=words.overlap_table(result),
        notes=words.notes(result),
        parts=parts,
        hit_rate=_hit_rate(result["hit_rate"]),
        skipped=words.skipped_table(result),
        settings=words.settings_rows(result),
        origin=[
            (f"{name} {key}", str(log[key]))
            for name, log in (("OLD", old), ("NEW", new))
            for key in ("path", "kind", "fingerprint")
            if log[key] is not None
        ]
        + [("lab version", result["lab_version"])],
    )


def _part(name: str, rows: Sequence[Mapping[str, Any]], measure: str) -> Markup:
    table = words.details_table(name, rows).__html__()
    if measure != "psi" or name == "popularity" or len(rows) < 2:
        return table
    return join(_bins_chart(name, rows), table)


def _bins_chart(name: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Shares of the bins of a number as two lines."""
    ticks = [row["value"].rpartition(", ")[2] for row in rows]
    high = max(max(row["old"], row["new"]) for row in rows)
    series = []
    for index, key in enumerate(("old", "new")):
        points = [
            (i, row[key], f"{key.upper()}, {row['value']}: {percent(row[key])}")
            for i, row in enumerate(rows)
        ]
        series.append(Series(points, "line", label=key.upper(), colour=index))
        series.append(Series(points, "dots", colour=index))
    title = f"{words.part_name(name)}: shares of OLD and NEW"
    pairs = (f"{r['value']}: {percent(r['old'])}, {percent(r['new'])}" for r in rows)
    drawn = xy_chart(
        series,
        Axis(words.part_name(name), names=ticks),
        Axis("share", 0.0, high * 1.08 or 1.0),
        key=f"part-{name.replace('.', '-')}",
        title=title,
        description="; ".join(pairs),
        width=WIDE,
    )
    return join(
        legend({0: "OLD", 1: "NEW"}), Markup('<div class="wide scroll">'), drawn, Markup("</div>")
    )


def _hit_rate(measured: Mapping[str, Any] | None) -> Markup | None:
    if measured is None:
        return None
    table = words.hit_rate_table(measured).__html__()
    weeks = measured["weeks"]
    if len(weeks) < 2:
        return table
    points = [
        (i, week["hit_rate"], f"week from {week['start']}: {week['hit_rate']:.3f}")
        for i, week in enumerate(weeks)
    ]
    series = [Series(points, "line", label="hit rate"), Series(points)]
    highest = [week["hit_rate"] for week in weeks]
    reference = measured["reference"]
    if reference is not None:
        text = f"the run's test: {reference:.3f}"
        ends = [(0, reference, text), (len(weeks) - 1, reference, text)]
        series.insert(0, Series(ends, "line", "muted", text, mark="test"))
        highest.append(reference)
    drawn = xy_chart(
        series,
        Axis("week from", names=[week["start"] for week in weeks]),
        Axis(f"HR@{measured['k']}", 0.0, max(highest) * 1.15 or 1.0),
        key="hit-rate",
        title="Hit rate by week",
        description="; ".join(tip for _, _, tip in points),
        width=WIDE,
    )
    return join(Markup('<div class="wide scroll">'), drawn, Markup("</div>"), table)
