"""``recsys-lab train``: prepare, train or fit, rank, record."""

from __future__ import annotations

import logging
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from rich.console import Console

from recsys_lab.cli.assemble import Parts, assemble, result_table
from recsys_lab.config import Interrupted, UserError, build
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.runs.record import (
    CONFIG,
    RECORD,
    RunRecord,
    finish_time,
    only_process,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from omegaconf import DictConfig
    from pytorch_lightning.loggers import Logger

_log = logging.getLogger(__name__)


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Start a run, or continue the one that ``resume`` names."""
    console = Console()
    folder = _folder(cfg, output_dir)
    with only_process(folder):
        record = _open(cfg, folder)
        if record.done:
            console.print(f"{folder}: this run is finished", soft_wrap=True)
            _show(console, record)
            return
        handlers = _log_to(folder / "run.log")
        try:
            _run(cfg, record, console)
        except (Interrupted, KeyboardInterrupt):
            record.update(status="interrupted")
            raise Interrupted(
                f"stopped; what was done is kept. Go on with: recsys-lab train resume={folder}"
            ) from None
        except UserError:
            record.update(status="failed")
            raise
        except BaseException:
            record.update(status="failed")
            _log.error("the run failed\n%s", traceback.format_exc())
            raise
        finally:
            for handler in handlers:
                logging.getLogger().removeHandler(handler)
                handler.close()
        _show(console, record)


def _run(cfg: DictConfig, record: RunRecord, console: Console) -> None:
    spent = _stopwatch(record.values["compute"]["seconds"])
    parts = assemble(cfg)
    earlier = (record.values.get("data") or {}).get("fingerprint")
    if earlier not in (None, parts.data.fingerprint):
        msg = (
            f"{record.folder}: the data have changed since the run began (fingerprint {earlier}, "
            f"now {parts.data.fingerprint}); bring the original data back, or start a new run"
        )
        raise UserError(msg)
    record.update(
        status="running",
        data={
            "name": parts.data.manifest["name"],
            "path": str(parts.data.path.resolve()),
            "fingerprint": parts.data.fingerprint,
            "num_users": parts.data.num_users,
            "num_items": parts.data.num_items,
            "num_interactions": parts.data.num_interactions,
        },
        protocol=parts.protocol_record(),
    )
    _warn_of_repeats(parts, console)
    tracker = build(cfg.tracking)
    tracker_id = tracker.start(_tracker_run(cfg, record), record.folder)
    known_id = tracker_id or (record.values.get("tracker") or {}).get("id")
    record.update(tracker={"kind": cfg.tracking._target_.rpartition(".")[2], "id": known_id})
    failed = True
    try:
        if parts.is_fitted:
            _fit(parts, record)
        else:
            _train(cfg, parts, record, tracker.logger(), console, spent)
        _test(parts, record)
        record.note_compute(spent())
        failed = False
    finally:
        tracker.finish(_summary(record), failed=failed)
    record.update(status="finished", **finish_time())


def _stopwatch(before: float) -> Callable[[], float]:
    """Seconds spent on the run: those of earlier processes and of this one."""
    started = time.monotonic()
    return lambda: before + time.monotonic() - started


def _train(
    cfg: DictConfig, parts: Parts, record: RunRecord, logger: Logger | None, console: Console,
    spent: Callable[[], float],
) -> None:  # fmt: skip
    from recsys_lab.training.fit import fit  # Lightning: not needed for a fitted model

    training = TrainingBatches(
        parts.data,
        batch_size=parts.recipe.config.batch_size,
        window=parts.model.window + 1,  # one more than is read: the first target
        seed=cfg.seed,
    )
    if not len(training):
        msg = f"{parts.data.path}: no user has two training events, so there is nothing to train on"
        raise UserError(msg)
    keeper = fit(
        parts.model, build(cfg.loss), parts.recipe, parts.protocol, training,
        parts.batches("validation"), record.folder / "checkpoints",
        logger=logger, console=console,
        on_epoch=lambda history: record.note_compute(spent(), epochs=history),
    )  # fmt: skip
    parts.model.to(parts.device)
    best = next(row for row in keeper.history if row["epoch"] == keeper.best_epoch)
    last = keeper.history[-1]["epoch"]
    record.update(
        epochs=keeper.history,
        best={"epoch": keeper.best_epoch, "still_improving": keeper.best_epoch == last},
        validation={k.removeprefix("val/"): v for k, v in best.items() if k.startswith("val/")},
        parameters=sum(p.numel() for p in parts.model.parameters()),
    )
    if keeper.best_epoch == last:
        _log.warning("the best epoch was the last one: the model was still improving")


def _fit(parts: Parts, record: RunRecord) -> None:
    parts.model.fit(parts.data)
    with (record.folder / "model.npz").open("wb") as handle:
        np.savez(handle, **parts.model.arrays())
    record.update(validation=parts.evaluate("validation").compute())


def _test(parts: Parts, record: RunRecord) -> None:
    """Open the test split, once, after the model is chosen."""
    results = parts.evaluate("test")
    temporary = record.folder / ".test_users.parquet"
    results.per_user().write_parquet(temporary)
    temporary.replace(record.folder / "test_users.parquet")
    record.update(test=results.compute())


def _folder(cfg: DictConfig, output_dir: Path) -> Path:
    """The run directory; ``resume=auto`` finds the latest unfinished run of this config."""
    chosen = any(o.startswith("run_dir=") for o in HydraConfig.get().overrides.task)
    if cfg.resume != "auto" or chosen or (output_dir / RECORD).exists():
        return output_dir
    wanted = _identity(OmegaConf.to_container(cfg, resolve=True))
    candidates = []
    for path in output_dir.parents[1].glob(f"*/*/{RECORD}"):  # runs/DAY/RUN/run.json
        try:
            values = RunRecord.load(path.parent).values
        except UserError:  # another run's damaged record is no reason to stop
            continue
        if values["status"] != "finished" and _identity(values["config"]) == wanted:
            candidates.append((values["created"], path.parent))
    if not candidates:
        return output_dir
    with suppress(OSError):
        output_dir.rmdir()  # Hydra made it, empty, before anybody knew
    return max(candidates)[1]


def _identity(config: Any) -> dict[str, Any]:
    """The config without what may differ between a run and its continuation."""
    return {k: v for k, v in config.items() if k not in ("run_dir", "resume")}


def _open(cfg: DictConfig, folder: Path) -> RunRecord:
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    if not (folder / RECORD).exists():
        # The record last: a folder with a record can be resumed, so it must hold the config.
        write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(config)))
        return RunRecord.create(folder, name=cfg.name or _default_name(cfg), config=config)  # type: ignore[arg-type]
    record = RunRecord.load(folder)
    stored = _identity(record.values["config"])
    differing = [k for k, v in _identity(config).items() if stored.get(k) != v]
    if differing:
        msg = (
            f"{folder}: holds a run with another config (differs in {', '.join(differing)}); "
            f"continue that one with resume={folder} alone, or choose another run_dir"
        )
        raise UserError(msg)
    return record


def _default_name(cfg: DictConfig) -> str:
    return str(cfg.model._target_.rpartition(".")[2])


def _tracker_run(cfg: DictConfig, record: RunRecord) -> dict[str, Any]:
    earlier = record.values.get("tracker") or {}
    fingerprint = record.values["data"]["fingerprint"]
    return {
        "id": earlier.get("id"),
        "name": record.values["name"],
        "group": cfg.group,
        "tags": list(cfg.tags),
        "job_type": "train",
        "config": {**record.values["config"], "data_fingerprint": fingerprint},
    }


def _summary(record: RunRecord) -> Mapping[str, float]:
    values = record.values
    found = {f"best/{k}": v for k, v in (values.get("validation") or {}).items()}
    found |= {f"val/{k}": v for k, v in (values.get("validation") or {}).items()}
    found |= {f"test/{k}": v for k, v in (values.get("test") or {}).items()}
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


def _show(console: Console, record: RunRecord) -> None:
    rows = {}
    for phase in ("validation", "test"):
        if record.values.get(phase):
            rows[f"{record.values['name']} ({phase})"] = record.values[phase]
    if rows:
        console.print(result_table(rows, record.values["data"]["name"]))
    console.print(f"run: {record.folder}", soft_wrap=True)


def _log_to(path: Path) -> tuple[logging.Handler, ...]:
    """Everything of the lab into the run's log; warnings also to the terminal."""
    handler = logging.FileHandler(path)
    logging.getLogger("recsys_lab").setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().addHandler(terminal)
    return handler, terminal
