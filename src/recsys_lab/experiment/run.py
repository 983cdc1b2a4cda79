"""One run: prepare, train or fit, rank, record."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from recsys_lab.comparison.systems import REFIT
from recsys_lab.config import Interrupted, Pruned
from recsys_lab.contracts.processes import after_first, is_first
from recsys_lab.data.prepared import NotWhole, PreparedDataset
from recsys_lab.experiment.components import Components
from recsys_lab.experiment.data_notes import notes_on_data
from recsys_lab.experiment.extend import how_to_train_longer
from recsys_lab.experiment.identity import begin
from recsys_lab.experiment.init_from import begin_from
from recsys_lab.experiment.learning import fit_in_steps, keep_arrays, ready_loss, train
from recsys_lab.experiment.memory_check import refuse_too_large
from recsys_lab.experiment.off_policy import check_off_policy
from recsys_lab.experiment.refit import refit
from recsys_lab.experiment.restore import restore
from recsys_lab.experiment.semantic_ids import keep_codes
from recsys_lab.experiment.test_results import run_test
from recsys_lab.experiment.tracked import end_of, start_of
from recsys_lab.pages.number_format import decimal, duration
from recsys_lab.pages.terminal import PROGRESS
from recsys_lab.runs.memory import forget_peak_memory
from recsys_lab.runs.record import WEIGHTS, RunRecord, finish_time
from recsys_lab.training.try_out import try_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from omegaconf import DictConfig
    from pytorch_lightning import Callback
    from rich.console import Console

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialRun:
    """Settings of a run that is a trial of a search; trials do not use the test split.

    Attributes:
        callbacks: returns additional Lightning callbacks; called if the model is trained.
        beyond: metrics beyond accuracy to compute on validation at the end, e.g. ``coverage@10``.
    """

    callbacks: Callable[[], Sequence[Callback]] = tuple
    beyond: Sequence[str] = ()


def execute(
    cfg: DictConfig,
    record: RunRecord,
    console: Console,
    trial: TrialRun | None = None,
    prepared_in: Path | None = None,
) -> None:
    """Execute a run, from the start or where it stopped.

    Args:
        cfg: the whole config.
        record: record of the run, with its progress.
        console: the console.
        trial: set if the run is a trial of a search.
        prepared_in: folder of the dataset that was prepared for this run; the source, which may
            have changed since, is not read again.

    Raises:
        UserError: the run cannot be executed, or its data have changed since it started.
    """
    forget_peak_memory()
    spent = _stopwatch(record.values["compute"]["seconds"])
    parts = Components(cfg, restore)
    try_out(parts.recipe)
    data = after_first(lambda: _prepare(parts, record, spent, prepared_in))
    if trial is not None:
        refuse_too_large(parts, data)
    after_first(lambda: parts.attach(data))
    refits = trial is None and parts.recipe.config.refit
    after_first(lambda: begin_from(parts, record, console, refits=refits))
    if parts.is_fitted:
        _warn_unread(parts)
    else:
        ready_loss(parts)
    check_off_policy(parts)
    begin(parts, record, __name__)
    for note in notes_on_data(parts):
        console.print(f"note: {note}", highlight=False)
    _start_trackers(parts, record, job_type="train" if trial is None else "trial")
    failed = True
    try:
        with _on_whole_data(parts, record):
            if parts.is_fitted:
                _fit(parts, record)
            else:
                _train(parts, record, console, spent, trial)
            if trial is None:
                if refits:
                    refit(parts, record, console)
                _keep_inputs(parts, record)
                run_test(parts, record)
            elif trial.beyond:
                _evaluate_beyond(parts, record, trial.beyond)
        record.note_compute(spent())
        failed = False
    except Pruned:
        failed = False
        raise
    finally:
        _finish_trackers(parts, record, failed=failed)
    record.update(status="finished", **finish_time())


def _start_trackers(parts: Components, record: RunRecord, job_type: str) -> None:
    if not is_first():
        return
    earlier_ids = record.values.get("trackers") or {}
    ids = parts.tracking.start(start_of(record, job_type), record.folder, earlier_ids)
    record.update(trackers={**earlier_ids, **ids})


def _finish_trackers(parts: Components, record: RunRecord, *, failed: bool) -> None:
    if is_first():
        parts.tracking.finish(end_of(parts, record, failed=failed))


def _keep_inputs(parts: Components, record: RunRecord) -> None:
    """Store what the model reads besides the prepared data."""
    if is_first():
        record.note_files(*parts.inputs.keep(record.folder))
        keep_codes(parts.semantic_ids, record)


def _warn_unread(parts: Components) -> None:
    """Warn of options on the command line that a fitted model does not read."""
    if not HydraConfig.initialized():
        return
    keys = [given.partition("=")[0].lstrip("+~") for given in HydraConfig.get().overrides.task]
    unread = [k for k in keys if k.partition(".")[0] in ("recipe", "loss") and k != REFIT]
    if unread:
        _log.warning(
            "%s: unused, as %s is fitted in one pass, without a loss and a recipe",
            ", ".join(unread),
            parts.model_name,
        )


@contextmanager
def _on_whole_data(parts: Components, record: RunRecord) -> Iterator[None]:
    """Check the prepared data after the body, and discard checkpoints if they were damaged.

    The arrays are memory-mapped, so a change of their files changes what the run reads.

    Raises:
        NotWhole: the data were damaged; also replaces an error that this caused. The checkpoints
            are removed, so that the run restarts.
    """
    try:
        try:
            yield
        finally:
            if not isinstance(sys.exception(), Interrupted):
                parts.data.check()
    except NotWhole:
        if is_first():
            shutil.rmtree(record.folder / "checkpoints", ignore_errors=True)
        raise


def _prepare(
    parts: Components, record: RunRecord, spent: Callable[[], float], folder: Path | None
) -> PreparedDataset:
    """The prepared data; records the seconds, which only the first run on them spends."""
    began = spent()
    # A sweep checks the contents once for all its runs.
    data = PreparedDataset(folder, "sizes") if folder else parts.prepare()
    compute = record.values["compute"]
    seconds = compute.get("prepare_seconds", 0.0) + spent() - began
    compute["prepare_seconds"] = round(seconds, 3)
    record.note_compute(spent())  # also if the run is killed before the next update
    return data


def _stopwatch(before: float) -> Callable[[], float]:
    """Seconds spent on the run, by earlier processes and this one."""
    started = time.monotonic()
    return lambda: before + time.monotonic() - started


def _train(
    parts: Components,
    record: RunRecord,
    console: Console,
    spent: Callable[[], float],
    trial: TrialRun | None,
) -> None:
    keeper, cost = train(
        parts,
        record.folder / "checkpoints",
        console,
        on_epoch=lambda history: record.note_epochs(history, spent()),
        loggers=parts.tracking.loggers(),
        callbacks=trial.callbacks() if trial else (),
    )
    best = next(row for row in keeper.history if row["epoch"] == keeper.best_epoch)
    improving = keeper.still_improving and parts.recipe.config.overfit_loss is None
    record.end_epochs(
        keeper.history,
        best={"epoch": keeper.best_epoch, "still_improving": improving},
        validation={k.removeprefix("val/"): v for k, v in best.items() if k.startswith("val/")},
        parameters=sum(p.numel() for p in parts.model.parameters()),
        compute={**record.values["compute"], **cost},
        files={**record.values.get("files", {}), WEIGHTS: keeper.best_digest},
    )
    PROGRESS.info("%s", _best_line(parts.recipe.config.monitor, best, len(keeper.history)))
    if improving:
        advice = "" if trial else f"; {how_to_train_longer(record)}"
        _log.warning("the best epoch was the last one: the model was still improving%s", advice)


def _best_line(monitor: str, best: Mapping[str, float], epochs: int) -> str:
    return f"best epoch: {int(best['epoch']) + 1} of {epochs}, {monitor} {decimal(best[monitor])}"


def _fit(parts: Components, record: RunRecord) -> None:
    fit_in_steps(parts)
    began = time.monotonic()
    validation = parts.evaluate("validation").compute()
    monitor = parts.recipe.config.monitor
    value = validation.get(monitor.removeprefix("val/"))
    judged = "" if value is None else f"{monitor} {decimal(value)}, "
    PROGRESS.info("validation: %s%s", judged, duration(time.monotonic() - began))
    keep_arrays(parts.model, record, validation=validation)


def _evaluate_beyond(parts: Components, record: RunRecord, names: Sequence[str]) -> None:
    chosen = {name: metric for name, metric in parts.beyond().items() if name in names}
    computed = parts.evaluate("validation", chosen).compute()
    values = {name: computed[name] for name in chosen if name in computed}
    record.update(validation={**record.values["validation"], **values})
