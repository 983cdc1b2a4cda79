"""One run: prepare, train or fit, rank, record."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.cli.assemble import Parts, assemble, make_loss, tell_unread
from recsys_lab.cli.beginning import begin
from recsys_lab.cli.data_notes import notes_on_data
from recsys_lab.cli.fitting import refuse_too_large
from recsys_lab.cli.judging import gather, judge
from recsys_lab.cli.prepare import prepare_from
from recsys_lab.cli.tracked import end_of, start_of
from recsys_lab.config import Interrupted, Pruned, UserError, build
from recsys_lab.contracts import ReadsTargets
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.prepared import NotWhole, PreparedDataset
from recsys_lab.files.arrays import save_npz
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.memory import forget_peak_memory
from recsys_lab.runs.record import (
    FITTED,
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
        callbacks: Lightning callbacks that watch the training.
        beyond: metrics beyond accuracy, which else only the test has, to be computed on validation
            at the end, e.g. ``coverage@10``.
    """

    callbacks: Sequence[Callback] = ()
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
    loss = None if parts.is_fitted else make_loss(cfg, parts)
    if loss is None:
        tell_unread(cfg)
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
def _on_whole_data(parts: Parts, record: RunRecord) -> Iterator[None]:
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
    cfg: DictConfig, parts: Parts, loss: Loss, record: RunRecord, loggers: list[Logger],
    console: Console, spent: Callable[[], float], trial: TrialRun | None,
) -> None:  # fmt: skip
    # Lightning: not needed for a fitted model
    from recsys_lab.training.fit import fit
    from recsys_lab.training.meter import Meter
    from recsys_lab.training.targets import (
        expected_targets,
        supervised_events,
        supervised_positions,
    )

    training = TrainingBatches(
        parts.data,
        batch_size=parts.recipe.config.batch_size,
        window=parts.model.window + 1,  # one more than is read: the first target
        seed=cfg.seed,
        crop=parts.recipe.config.crop,
        prefixes=getattr(parts.model, "one_target", False),
        features=getattr(parts.model, "features", ()),
        supervised=supervised_events(parts.data, parts.recipe),
    )
    if not len(training):
        msg = f"{parts.data.path}: no user has two training events, so there is nothing to train on"
        raise UserError(msg)
    if parts.recipe.config.supervise != "all":
        supervised_positions(parts.model, next(training.first_epoch()))  # refused now, if at all
    if isinstance(loss, ReadsTargets) and loss.reads_targets:
        epoch = training.first_epoch()
        loss.read_targets(expected_targets(parts.model, epoch, parts.data.num_items))
    meter = Meter()
    keeper = fit(
        parts.model, loss, parts.recipe, parts.protocol, training,
        parts.batches("validation"), record.folder / "checkpoints",
        loggers=loggers, console=console,
        on_epoch=lambda history: record.note_epochs(history, spent()),
        callbacks=[meter, *(trial.callbacks if trial else ())],
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


def _fit(parts: Parts, record: RunRecord) -> None:
    parts.model.fit(parts.data)
    arrays = parts.model.arrays()
    replace_atomically(record.folder / FITTED, lambda path: save_npz(path, arrays))
    record.note_files(
        FITTED,
        validation=parts.evaluate("validation").compute(),
        parameters=sum(int(np.size(values)) for values in arrays.values()),
    )


def _test(parts: Parts, record: RunRecord) -> None:
    """Open the test split, once, after the model is chosen."""
    found = judge(parts, gather(parts))
    found.write(record.folder)
    record.note_files(
        PER_USER, SLICES,
        test=found.means, intervals=found.intervals, fairness=found.fairness,
    )  # fmt: skip


def _look_beyond(parts: Parts, record: RunRecord, names: Sequence[str]) -> None:
    chosen = {name: metric for name, metric in parts.beyond().items() if name in names}
    found = parts.evaluate("validation", chosen).compute()
    values = {name: found[name] for name in chosen if name in found}
    record.update(validation={**record.values["validation"], **values})
