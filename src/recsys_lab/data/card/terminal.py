"""The data card in the terminal: what ``recsys-lab prepare`` says of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recsys_lab.data.card import facts
from recsys_lab.data.leaks.finding import by_weight, in_words
from recsys_lab.pages.number_format import number

_STYLES = {"leak": "bold red", "warning": "bold yellow", "property": "yellow", "note": "yellow"}


def print_data_card(console: Console, manifest: Mapping[str, Any], folder: Path) -> None:
    """Everything about one dataset, and where it lies.

    Args:
        console: where it is printed; 80 columns and no colour are enough.
        manifest: as in ``manifest.json``.
        folder: the prepared dataset.
    """
    parts = (counts_table, summary_table, split_table, leaks_list, features_table, about_list)
    for said in manifest["warnings"]:
        console.print(Text.assemble(("warning", "bold yellow"), f": {said}"))
    for part in parts:
        console.print(part(manifest))
    # Never wrapped: people copy them.
    for name, value in (
        ("prepared dataset", str(folder)),
        ("data card", str(folder / "card.html")),
        ("fingerprint", manifest["fingerprint"]),
    ):
        console.print(Text(f"{name}: {value}"), soft_wrap=True)


def counts_table(manifest: Mapping[str, Any]) -> Table:
    """Rows, users and items after each step, with the reason of every loss."""
    table = _table(facts.title(manifest), "step", ("rows", "users", "items", "dropped"))
    table.add_column("reason", overflow="fold")
    for step in manifest["counts"]:
        numbers = [step.get(key) for key in ("rows", "users", "items", "dropped")]
        _add(
            table,
            step["step"],
            *("" if value is None else number(value) for value in numbers),
            step.get("reason") or "",
        )
    return table


def summary_table(manifest: Mapping[str, Any]) -> Table:
    """What is asked first, and how unevenly the events lie on the items."""
    table = Table(title="dataset", title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (*facts.key_figures(manifest), *facts.concentration_facts(manifest)):
        _add(table, name, value)
    return table


def split_table(manifest: Mapping[str, Any]) -> RenderableType:
    """Sizes of every phase, and what the split counted."""
    name = manifest["settings"]["split"]["name"]
    heads = ("users", "events", "of all", "targets", "median history")
    table = _table(f"split: {name}", "phase", heads)
    for row in facts.split_rows(manifest):
        _add(table, *row)
    said = [f"{key} {value}" for key, value in facts.split_counts(manifest) if value != "0"]
    if not said:
        return table
    return Group(table, Padding(Text(", ".join(said)), (0, 0, 1, 1)))


def leaks_list(manifest: Mapping[str, Any]) -> RenderableType:
    """Every finding, the gravest first; colour only repeats what the words say."""
    if not manifest["leaks"]:
        return Padding(Text("leak check: nothing found", style="green"), (0, 0, 1, 0))
    table = Table(title="leak check", title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for leak in by_weight(manifest["leaks"]):
        severity = leak["severity"]
        word = Text(severity.upper() if severity == "leak" else severity, _STYLES[severity])
        said = Text.assemble((leak["kind"], "bold"), f": {in_words(leak)}")
        table.add_row(word, said)
    return table


def features_table(manifest: Mapping[str, Any]) -> RenderableType:
    """The columns that models may read besides ids and times."""
    rows = facts.feature_rows(manifest)
    if not rows:
        return Text("features: none")
    table = Table(title="features", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("of", "column", "type", "known of it"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        _add(table, *row)
    return table


def about_list(manifest: Mapping[str, Any]) -> RenderableType:
    """Licence, citation, homepage and traps of a published dataset."""
    about = manifest["about"]
    if about is None:
        return Text("licence and citation: none stated by this source")
    lines = [f"{key}: {about[key]}" for key in ("licence", "citation", "homepage")]
    lines += [f"- {note}" for note in about["notes"]]
    return Group(*(Text(line, overflow="fold") for line in lines))


def _table(title: str, first: str, numbers: Sequence[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _add(table: Table, *cells: str) -> None:
    """As text: square brackets in a dataset's words are no markup."""
    table.add_row(*(Text(cell) for cell in cells))
