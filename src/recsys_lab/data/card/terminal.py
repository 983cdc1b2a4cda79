"""The data card in the terminal, printed by ``recsys-lab prepare``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from recsys_lab.data.card import facts
from recsys_lab.data.leaks.finding import said_once
from recsys_lab.pages.number_format import number
from recsys_lab.pages.table import Table

_STYLES = {"leak": "bold red", "warning": "bold yellow", "property": "yellow", "note": "yellow"}


def print_data_card(
    console: Console, manifest: Mapping[str, Any], folder: Path, told: Collection[str] = ()
) -> None:
    """Print everything about one dataset, and its folder.

    Args:
        console: 80 columns without colour are enough.
        manifest: as in ``manifest.json``.
        folder: the prepared dataset.
        told: warnings that this command has given already, while it prepared the data.
    """
    parts = (counts_table, summary_table, split_table, leaks_list, features_table, about_list)
    for warning in (text for text in manifest["warnings"] if text not in told):
        console.print(Text.assemble(("warning", "bold yellow"), f": {warning}"))
    for part in parts:
        console.print(part(manifest))
    # Not wrapped, to be copied.
    for name, value in (
        ("prepared dataset", str(folder)),
        ("data card", str(folder / "card.html")),
        ("fingerprint", manifest["fingerprint"]),
    ):
        console.print(Text(f"{name}: {value}"), soft_wrap=True)


def counts_table(manifest: Mapping[str, Any]) -> RenderableType:
    """Rows, users and items after each step, with the reason for dropped rows."""
    keys = ("rows", "users", "items", "dropped")
    rows = []
    for step in manifest["counts"]:
        numbers = ("" if step.get(key) is None else number(step[key]) for key in keys)
        rows.append((step["step"], *numbers, step.get("reason") or ""))
    numeric = range(1, 5)
    return _shown(Table(facts.title(manifest), ("step", *keys, "reason"), rows, numeric, numeric))


def summary_table(manifest: Mapping[str, Any]) -> RenderableType:
    """Key figures, and the concentration of events on popular items."""
    rows = [*facts.key_figures(manifest), *facts.concentration_facts(manifest)]
    return _shown(Table("dataset", (), rows, whole=(0,)))


def split_table(manifest: Mapping[str, Any]) -> RenderableType:
    """Sizes of every phase, and what the split counted."""
    caption = f"split: {manifest['settings']['split']['name']}"
    heads = ("phase", "users", "events", "of all", "targets", "median history")
    numeric = range(1, 6)
    table = _shown(Table(caption, heads, facts.split_rows(manifest), numeric, numeric))
    counts = [f"{key} {value}" for key, value in facts.split_counts(manifest) if value != "0"]
    if not counts:
        return table
    return Group(table, Padding(Text(", ".join(counts)), (0, 0, 1, 1)))


def leaks_list(manifest: Mapping[str, Any]) -> RenderableType:
    """Every finding, the most severe first; severity is written out, not only coloured."""
    if not manifest["leaks"]:
        return Padding(Text("leak check: no findings", style="green"), (0, 0, 1, 0))
    rows = []
    for leak in said_once(manifest["leaks"]):
        word = Text(leak.severity, _STYLES[leak.severity])
        rows.append((word, Text.assemble((leak.kind, "bold"), f": {leak.text}")))
    return _shown(Table("leak check", (), rows, whole=(0,)))


def features_table(manifest: Mapping[str, Any]) -> RenderableType:
    """The columns that models may read besides ids and times."""
    rows = facts.feature_rows(manifest)
    return _shown(Table("features", facts.FEATURE_HEADS, rows)) if rows else Text("features: none")


def about_list(manifest: Mapping[str, Any]) -> RenderableType:
    """Licence, citation, homepage and notes of a published dataset."""
    about = manifest["about"]
    if about is None:
        return Text("licence and citation: none stated by this source")
    lines = [f"{key}: {about[key]}" for key in ("licence", "citation", "homepage")]
    lines += [f"- {note}" for note in about["notes"]]
    return Group(*(Text(line, overflow="fold") for line in lines))


def _shown(table: Table) -> RenderableType:
    return table.rich(box=box.SIMPLE_HEAD)
