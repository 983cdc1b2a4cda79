"""Prints the summary of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.failure import again, described, is_check
from recsys_lab.runs.find import flatten
from recsys_lab.runs.model_card.facts import OF_TRAINING, compute_rows
from recsys_lab.runs.provenance import DIFF
from recsys_lab.runs.record import KILLED, NOT_VERIFIED
from recsys_lab.runs.summary_tables import result_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import Console

    from recsys_lab.runs.record import RunRecord

_WHAT = ("name", "status", "seed", "created", "finished")


def print_run(console: Console, record: RunRecord, longer: str = "") -> None:
    """Print the whole record of a run, which may be unfinished.

    Args:
        console: the console.
        record: of the run.
        longer: how to train the run longer, for one that was still improving.
    """
    values = record.values
    console.print(_panel("run", _what(record)))
    if values.get("data"):
        console.print(_panel("data", _shown(values["data"])))
    if values.get("protocol"):
        fields = {"fingerprint": values["protocol"]["fingerprint"], **values["protocol"]["fields"]}
        console.print(_panel("protocol", _shown(fields)))
    metrics: dict[str, dict[str, float]] = {}
    if values.get("test") or values.get("validation"):
        test = "test, refit" if values.get("refit") else "test"
        metrics = {"validation": values.get("validation") or {}, test: values.get("test") or {}}
    for table in result_tables(record, metrics, "results", values, record.slices()):
        console.print(table)
    console.print(_panel("compute", _compute(values)))
    for warning in warnings(record, longer):
        console.print(Text(f"warning: {warning}", style="yellow"))
    console.print(_panel("files", _files(record)))
    console.print(Text(f"run: {record.folder}"), soft_wrap=True)


def warnings(record: RunRecord, longer: str = "") -> Iterator[str]:
    """Warnings about the numbers of the run; ``longer`` as for `print_run`."""
    values = record.values
    if not record.is_verified:
        yield f"the numbers cannot be verified: {NOT_VERIFIED}"
    if not record.done:
        status = record.status
        killed = ", but it was killed: no process works on it" if status == KILLED else ""
        status_text = f"the run's status is '{values['status']}'{killed}"
        if record.failed_before_training:
            yield (
                f"{status_text}, before its first checkpoint, so that there is nothing to resume; "
                f"correct the cause and train again: run_dir={record.folder} can be used again"
            )
        else:
            verb = "begin it again" if is_check(record) else "resume it"
            yield f"{status_text}; {verb} with: {again(record)}"
    if (values.get("best") or {}).get("still_improving"):
        advice = f"; {longer}" if longer else ""
        yield f"the best epoch was the last one: the model was still improving{advice}"
    code = values.get("code") or {}
    if code.get("dirty"):
        kept = f", see {DIFF}" if (record.folder / DIFF).exists() else ", which were not stored"
        yield f"made with uncommitted changes{kept}"


def _what(record: RunRecord) -> Iterator[tuple[str, str]]:
    values = record.values
    for key in _WHAT:
        if values.get(key) is not None:
            yield key, record.status if key == "status" else str(values[key])
    failure = described(values)
    if failure:
        yield "failure", failure
    config = values["config"]
    unused = () if values.get("epochs") or not record.done else OF_TRAINING
    for group in ("model", "inputs", "loss", "recipe"):
        if isinstance(config.get(group), dict) and group not in unused:
            settings = dict(config[group])
            name = str(settings.pop("_target_", "")).rpartition(".")[2]
            shown = ", ".join(f"{k}={format_value(v)}" for k, v in settings.items())
            yield group, f"{name}: {shown}" if shown else name
    for key in ("group", "tags", "notes"):
        if config.get(key):
            yield key, format_value(config[key])
    code = values.get("code") or {}
    if code.get("commit"):
        yield "code", code["commit"] + (" with changes" if code.get("dirty") else "")
    yield "command", " ".join(map(str, values.get("command", ())))


def _compute(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for option, choice in (values.get("resolved") or {}).items():
        yield option, f"{choice} (auto)"
    yield from compute_rows(values)


def _files(record: RunRecord) -> Iterator[tuple[str, str]]:
    for path in sorted(record.folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            names = sorted(inner.name for inner in path.iterdir())
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            yield f"{path.name}/", shown
        else:
            yield path.name, f"{path.lstat().st_size / 1024:,.1f} KiB"


def _shown(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in flatten(values).items():
        is_size = isinstance(value, int) and not isinstance(value, bool)
        yield key, f"{value:,}" if is_size else format_value(value)


def _panel(title: str, rows: Iterable[tuple[str, str]]) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(key), Text(value))
    return Panel(table, title=title, title_align="left")
