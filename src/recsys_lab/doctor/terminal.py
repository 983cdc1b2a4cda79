"""Prints a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recsys_lab.doctor.finding import Finding
    from recsys_lab.doctor.report import Report
    from recsys_lab.pages.terminal import Terminal


def print_report(console: Terminal, report: Report) -> None:
    """Print every part; a long reason continues on the next line of its column."""
    lab, processor = report.lab, report.processor
    commit = f", commit {lab['commit'][:12]}" if lab["commit"] else ""
    commit += " with changes" if lab["changed"] else ""
    cores = f"{processor['usable_cores']} of {processor['cores']} cores"
    rows = [
        ("lab", f"{lab['version']}{commit}"),
        ("python", f"{lab['python']}, {lab['system']}"),
        ("processor", f"{processor['model']}, {cores}, {processor['instructions']}"),
        ("memory", f"{_gib(report.free_memory)} free"),
        ("disk", f"{_gib(report.free_disk)} free"),
        *((f"GPU {number}", _gpu(gpu)) for number, gpu in enumerate(report.gpus)),
        ("CUDA", report.cuda),
    ]
    _print(console, "machine", rows)
    _print(console, "fast paths", map(_row, report.fast_paths))
    _print(console, "launchers", map(_row, report.launchers))
    _print(console, "extras", map(_row, report.extras))
    _print(console, "packages", report.packages.items())
    if report.environment:
        _print(console, "environment", report.environment.items())


def _print(console: Terminal, title: str, rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE, show_header=False, show_edge=False
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _row(finding: Finding) -> tuple[str, ...]:
    return finding.name, "yes" if finding.usable else "no", finding.reason


def _gpu(gpu: dict[str, object]) -> str:
    free, total = int(str(gpu["free_memory"])), int(str(gpu["memory"]))
    return f"{gpu['name']}, {gpu['capability']}, {_gib(free)} of {_gib(total)} free"


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
