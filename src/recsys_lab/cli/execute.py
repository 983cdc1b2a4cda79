"""One run: prepare, train or fit, rank, record."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.cli.assemble import Parts, assemble, make_loss
from recsys_lab.cli.beginning import begin
from recsys_lab.cli.examples import example_table
from recsys_lab.cli.fitting import refuse_too_large
from recsys_lab.cli.judging import gather, judge
from recsys_lab.cli.prepare import prepare_from
from recsys_lab.config import Pruned, UserError, build
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.files.arrays import save_npz
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.memory import forget_peak_memory
from recsys_lab.runs.record import (
    FITTED,
    PER_USER,
    RECORD,
    SLICES,
    WEIGHTS,
    RunRecord,
    finish_time,
)
from recsys_lab.runs.trackers.base import End, Start

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
    begin(parts, record, __name__)
    _warn_of_repeats(parts, console)
    tracking = build(cfg.tracking)
    earlier_ids = record.values.get("trackers") or {}
    start = _start(record, job_type="train" if trial is None else "trial")
    ids = tracking.start(start, record.folder, earlier_ids)
    record.update(trackers={**earlier_ids, **ids})
    failed = True
    try:
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
        tracking.finish(_end(parts, record, failed=failed))
    record.update(status="finished", **finish_time())


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

    training = TrainingBatches(
        parts.data,
        batch_size=parts.recipe.config.batch_size,
        window=parts.model.window + 1,  # one more than is read: the first target
        seed=cfg.seed,
        prefixes=getattr(parts.model, "one_target", False),
        features=getattr(parts.model, "features", ()),
    )
    if not len(training):
        msg = f"{parts.data.path}: no user has two training events, so there is nothing to train on"
        raise UserError(msg)
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
    last = keeper.history[-1]["epoch"]
    record.end_epochs(
        keeper.history,
        best={"epoch": keeper.best_epoch, "still_improving": keeper.best_epoch == last},
        validation={k.removeprefix("val/"): v for k, v in best.items() if k.startswith("val/")},
        parameters=sum(p.numel() for p in parts.model.parameters()),
        compute={**record.values["compute"], **meter.values()},
        files={**record.values.get("files", {}), WEIGHTS: keeper.best_digest},
    )
    if keeper.best_epoch == last:
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


def _start(record: RunRecord, job_type: str) -> Start:
    """What trackers are told: what the record says, which holds no secret."""
    config = record.values["config"]
    fingerprint = record.values["data"]["fingerprint"]
    return Start(
        id=None,
        name=record.values["name"],
        group=config["group"],
        tags=list(config["tags"]),
        job_type=job_type,
        config={**config, "data_fingerprint": fingerprint},
        notes=config["notes"],
        commit=record.values["code"]["commit"],
    )


def _end(parts: Parts, record: RunRecord, *, failed: bool) -> End:
    folder = record.folder
    kept = {path.name: path for path in (
        folder / WEIGHTS, folder / FITTED, folder / PER_USER, folder / RECORD,
    ) if path.exists()}  # fmt: skip
    tables = {}
    slices = None if failed else record.slices()
    if slices is not None:
        examples = example_table(parts.data, record.table(PER_USER))
        tables = {"slices": slices, "examples": examples}
    return End(_summary(record), tables, kept, failed)


def _summary(record: RunRecord) -> Mapping[str, float]:
    values = record.values
    found = {f"best/{k}": v for k, v in (values.get("validation") or {}).items()}
    found |= {f"val/{k}": v for k, v in (values.get("validation") or {}).items()}
    found |= {f"test/{k}": v for k, v in (values.get("test") or {}).items()}
    compute = {"parameters": values.get("parameters"), **values["compute"]}
    found |= {f"compute/{k}": v for k, v in compute.items() if v is not None}
    if values.get("best"):
        found["best/epoch"] = values["best"]["epoch"]
    return found


def _warn_of_repeats(parts: Parts, console: Console) -> None:
    leaks = {(leak["kind"], leak["phase"]): leak for leak in parts.data.manifest["leaks"]}
    share = leaks.get(("repeated_targets", "test"), {"share": 0.0})["share"]
    if parts.protocol.config.exclude_seen and share > 0.01:
        console.print(
            f"note: {share:.1%} of the test targets stand in their user's history already; with "
            "evaluation.exclude_seen=true no model can hit these",
            highlight=False,
        )
