"""``recsys-lab explain RUN --user U``: attribute recommendations to events of the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from recsys_lab.cli.output import output_folder
from recsys_lab.config import UserError
from recsys_lab.experiment.explain import Explanation, explain, explanation_page
from recsys_lab.experiment.restore import restore
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.number_format import counted
from recsys_lab.pages.table import Table
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.failure import refuse_unfinished
from recsys_lab.runs.find import whole_record

if TYPE_CHECKING:
    from omegaconf import DictConfig


_MOVERS = 3  # events shown per recommendation
_DATE = len("2026-01-31")


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the attributions, and write them to the folder ``output`` if given."""
    del output_dir
    console = Terminal()
    record = whole_record(Path(cfg.run))
    refuse_unfinished(record, "no model to explain")
    if cfg.phase == "test" and "test" not in record.values:
        raise UserError(
            f"{record.folder}: phase=test, but a trial of a sweep has no test result; use "
            "phase=validation"
        )
    if cfg.phase == "validation" and record.values.get("refit"):
        console.print("note: this model was refit on validation events, so it has seen the targets")
    folder = output_folder(cfg.output)
    explanation = explain(
        restore(record, cfg.verify, prepare=cfg.prepare), record.values["name"], cfg
    )
    console.print(_table(explanation))
    console.print(explanation.meaning)
    if explanation.finding:
        console.print(explanation.finding)
    if folder is not None:
        write_text(folder / "explanation.json", json.dumps(vars(explanation), indent=1) + "\n")
        write_text(folder / "explanation.html", explanation_page(explanation))
        for name in ("explanation.json", "explanation.html"):
            console.print(f"written: {folder / name}", soft_wrap=True, highlight=False)


def _table(explanation: Explanation) -> Table:
    wanted = [item.strip() for item in explanation.wanted]
    several = f"s ({len(wanted)})" if len(wanted) > 1 else ""
    caption = (
        f"{explanation.heading} ({explanation.model}, {explanation.method}, {explanation.phase} "
        f"split); {counted(len(explanation.history), 'event')} read, actual next "
        f"item{several}: {'; '.join(wanted)}"
    )
    rows: list[tuple[str | Text, ...]] = []
    for index, item in enumerate(explanation.items):
        title = Text(item, style="bold green" if explanation.hits[index] else "")
        score = f"{explanation.scores[index]:.{explanation.decimals}f}"
        first: tuple[str | Text, ...] = (str(index + 1), title, score)
        for event in explanation.strongest(index)[:_MOVERS]:
            effect = explanation.number(index, event)
            date = [explanation.times[event][:_DATE]] if explanation.times else []
            rows.append((*first, effect, explanation.history[event], *date))
            first = ("", "", "")
        rows.append(())
    heads = ["", "recommended", "score", "effect", "of the event"]
    heads += ["on"] if explanation.times else []
    return Table(caption, heads, rows[:-1], right=(0, 2), whole=(2, 3, 5))
