"""One run: prepare, train or fit, rank, record."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_lab.config import Interrupted, Pruned, build
from recsys_lab.data.prepared import NotWhole, PreparedDataset
from recsys_lab.experiment.components import Components, assemble, make_loss, warn_unread_options
from recsys_lab.experiment.data_notes import notes_on_data
from recsys_lab.experiment.identity import begin
from recsys_lab.experiment.init_from import begin_from
from recsys_lab.experiment.learning import keep_arrays, loss_for, training_batches
from recsys_lab.experiment.memory_check import refuse_too_large
from recsys_lab.experiment.off_policy import check_off_policy
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.experiment.refit import refit
from recsys_lab.experiment.test_results import compute_test_results, rank_test_users
from recsys_lab.experiment.tracked import end_of, start_of
from recsys_lab.runs.memory import forget_peak_memory
from recsys_lab.runs.record import (
    PER_USER,
    SLICES,
    WEIGHTS,
    RunRecord,
    finish_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from omegaconf import DictConfig
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger
    from rich.console import Console

    from recsys_lab.contracts import Loss

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialRun:
    """What is different for a run of a search: the test split stays closed.

    Attributes:
        callbacks: gives Lightning callbacks that watch the training; called where there is one.
        beyond: metrics beyond accuracy, which else only the test has, to be computed on validation
            at the end, e.g. ``coverage@10``.
    """

    callbacks: Callable[[], Sequence[Callback]] = tuple
    beyond: Sequence[str] = ()


def execute(
    cfg: DictConfig, record: RunRecord, console: Console, trial: TrialRun | None = None,
    prepared_in: Path | None = None,
) -> None:  # fmt: skip
    """Do everything that is still to do of a run.

    Args:
        cfg: the whole config.
        record: of this run; says how far it came.
        console: for people.
        trial: set when the run is one of a search.
        prepared_in: folder of the dataset that was prepared for this run; the source, which may
            have changed since, is not read again.

    Raises:
        UserError: also when the data are no longer those that the run began with.
    """
    forget_peak_memory()
    spent = _stopwatch(record.values["compute"]["seconds"])

    def prepared(cfg: DictConfig) -> PreparedDataset:
        data = _prepare(cfg, record, spent, prepared_in)
        if trial is not None:
            refuse_too_large(cfg, data)
        return data

    parts = assemble(cfg, prepared)
    refits = trial is None and parts.recipe.config.refit
    begin_from(cfg, parts, record, console, refits=refits)
    loss = None if parts.is_fitted else make_loss(cfg, parts)
    if loss is None:
        warn_unread_options(cfg)
    check_off_policy(parts)
    begin(parts, record, __name__)
    for note in notes_on_data(parts):
        console.print(f"note: {note}", highlight=False)
    tracking = build(cfg.tracking)
    earlier_ids = record.values.get("trackers") or {}
    start = start_of(record, job_type="train" if trial is None else "trial")
    ids = tracking.start(start, record.folder, earlier_ids)
    record.update(trackers={**earlier_ids, **ids})
    failed = True
    try:
        with _on_whole_data(parts, record):
            if loss is None:
                _fit(parts, record)
            else:
                _train(cfg, parts, loss, record, tracking.loggers(), console, spent, trial)
            if trial is None:
                if refits:
                    parts = refit(cfg, parts, record, console)
                record.note_files(*parts.inputs.keep(record.folder))
                _test(parts, record)
            elif trial.beyond:
                _look_beyond(parts, record, trial.beyond)
        record.note_compute(spent())
        failed = False
    except Pruned:
        failed = False
        raise
    finally:
        tracking.finish(end_of(parts, record, failed=failed))
    record.update(status="finished", **finish_time())


@contextmanager
def _on_whole_data(parts: Components, record: RunRecord) -> Iterator[None]:
    """What is done in the body on data that somebody damaged meanwhile counts for nothing.

    The arrays are memory-mapped, so a change of their files is a change of what is read.

    Raises:
        NotWhole: the data are no longer what was prepared, also in place of the error that this
            led to. The run has no checkpoint then, so that it begins anew.
    """
    try:
        try:
            yield
        finally:
            if not isinstance(sys.exception(), Interrupted):
                parts.data.check()
    except NotWhole:
        shutil.rmtree(record.folder / "checkpoints", ignore_errors=True)
        raise


def _prepare(
    cfg: DictConfig, record: RunRecord, spent: Callable[[], float], folder: Path | None
) -> PreparedDataset:
    """The data, and the seconds that this took: who comes first pays for all runs on them."""
    began = spent()
    # Who prepared it for many runs has checked every byte: once for all of them.
    data = PreparedDataset(folder, "sizes") if folder else prepare_from(cfg)
    compute = record.values["compute"]
    seconds = compute.get("prepare_seconds", 0.0) + spent() - began
    compute["prepare_seconds"] = round(seconds, 3)
    record.note_compute(spent())  # the whole too, or a run killed now would miss this part of it
    return data


def _stopwatch(before: float) -> Callable[[], float]:
    """Seconds spent on the run: those of earlier processes and of this one."""
    started = time.monotonic()
    return lambda: before + time.monotonic() - started


def _train(
    cfg: DictConfig, parts: Components, loss: Loss, record: RunRecord, loggers: list[Logger],
    console: Console, spent: Callable[[], float], trial: TrialRun | None,
) -> None:  # fmt: skip
    # Lightning: not needed for a fitted model
    from recsys_lab.training.cost import CostMonitor
    from recsys_lab.training.fit import fit

    training = training_batches(cfg, parts)
    meter = CostMonitor()
    keeper = fit(
        parts.model, loss_for(cfg, parts, training, loss), parts.recipe, parts.protocol, training,
        parts.batches("validation"), record.folder / "checkpoints",
        loggers=loggers, console=console,
        on_epoch=lambda history: record.note_epochs(history, spent()),
        callbacks=[meter, *(trial.callbacks() if trial else ())],
    )  # fmt: skip
    parts.model.to(parts.device)
    best = next(row for row in keeper.history if row["epoch"] == keeper.best_epoch)
    record.end_epochs(
        keeper.history,
        best={"epoch": keeper.best_epoch, "still_improving": keeper.still_improving},
        validation={k.removeprefix("val/"): v for k, v in best.items() if k.startswith("val/")},
        parameters=sum(p.numel() for p in parts.model.parameters()),
        compute={**record.values["compute"], **meter.values()},
        files={**record.values.get("files", {}), WEIGHTS: keeper.best_digest},
    )
    if keeper.still_improving:
        _log.warning("the best epoch was the last one: the model was still improving")


def _fit(parts: Components, record: RunRecord) -> None:
    parts.model.fit(parts.data)
    keep_arrays(parts.model, record, validation=parts.evaluate("validation").compute())


def _test(parts: Components, record: RunRecord) -> None:
    """Open the test split, once, after the model is chosen."""
    found = compute_test_results(parts, rank_test_users(parts))
    found.write(record.folder)
    record.note_files(
        PER_USER, SLICES,
        test=found.means, intervals=found.intervals, fairness=found.fairness,
        **({} if found.off_policy is None else {"off_policy": found.off_policy}),
    )  # fmt: skip


def _look_beyond(parts: Components, record: RunRecord, names: Sequence[str]) -> None:
    chosen = {name: metric for name, metric in parts.beyond().items() if name in names}
    found = parts.evaluate("validation", chosen).compute()
    values = {name: found[name] for name in chosen if name in found}
    record.update(validation={**record.values["validation"], **values})
