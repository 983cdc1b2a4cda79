"""``recsys-lab evaluate RUN_DIR``: reproduce a run's test metrics from its record.

Under torchrun each process ranks a part of the users, and the first one prints the result.
"""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from recsys_lab.cli.output import output_folder
from recsys_lab.contracts.processes import is_first
from recsys_lab.experiment.agreement import agreement
from recsys_lab.experiment.distributed import joined_processes
from recsys_lab.experiment.restore import restore
from recsys_lab.experiment.test_results import TestResults, compute_test_results, rank_test_users
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.failure import refuse_trial, refuse_unfinished
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.summary_tables import result_tables

_log = logging.getLogger(__name__)


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Load the best weights, rank for the test users and compare with the record."""
    del output_dir
    record = whole_record(Path(cfg.run))
    _check(record)
    folder = output_folder(cfg.output)
    with joined_processes():
        parts = restore(record, cfg.verify, prepare=cfg.prepare)
        gathered = rank_test_users(parts)
        if is_first():
            _report(record, compute_test_results(parts, gathered), folder)


def _check(record: RunRecord) -> None:
    """Check that the run has a test result."""
    refuse_unfinished(record, "no test result")
    refuse_trial(record, "no test result")


def _report(record: RunRecord, results: TestResults, folder: Path | None) -> None:
    """Print the results, write them to the folder if given, and compare them with the record."""
    console = Terminal()
    columns = {record.values["name"]: results.means}
    tables = result_tables(record, columns, record.folder.name, vars(results), results.slices)
    for table in tables:
        console.print(table)
    if folder is not None:
        results.write(folder)
        console.print(f"written: {folder}", soft_wrap=True, highlight=False)
    console.print(agreement(record, results), soft_wrap=True, highlight=False)
