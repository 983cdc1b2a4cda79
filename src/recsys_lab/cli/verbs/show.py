"""``recsys-lab show RUN_DIR``: show a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.cli.output import output_folder
from recsys_lab.config import UserError
from recsys_lab.experiment.extend import how_to_train_longer
from recsys_lab.files.faults import out_of_space
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.model_card.page import write_card
from recsys_lab.runs.summary import print_run

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.runs.record import RunRecord


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the run, or write its TREC files; write its card if requested.

    Raises:
        UserError: the run is missing or damaged, or its directory cannot be written to.
    """
    del output_dir
    record = whole_record(Path(cfg.run))
    if cfg.card:
        try:
            write_card(record)
        except OSError as error:
            if out_of_space(error):
                raise
            msg = f"{record.folder}: the card cannot be written ({error}); copy the run elsewhere"
            raise UserError(msg) from None
    console = Terminal()
    folder = output_folder(cfg.trec, "trec")
    if folder is None:
        print_run(console, record, _longer(record))
        return
    from recsys_lab.runs.trec import write_trec  # imports polars

    files, notes = write_trec(record, folder)
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"written: {', '.join(map(str, files))}", soft_wrap=True, highlight=False)


def _longer(record: RunRecord) -> str:
    """How to train the run longer; empty if it need not be."""
    improving = (record.values.get("best") or {}).get("still_improving")
    return how_to_train_longer(record) if improving else ""
