"""A run with its folder, record and log: begun, gone on with, or shown when it is finished."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from rich.console import Console

from recsys_lab.config import Interrupted, Pruned, UserError
from recsys_lab.config.secrets import scrubbed
from recsys_lab.experiment.backtest import mean_of_windows, window_configs, window_table
from recsys_lab.experiment.extend import train_longer
from recsys_lab.experiment.run import TrialRun, execute
from recsys_lab.files.atomic import write_text
from recsys_lab.files.faults import machine_fault
from recsys_lab.pages.terminal import LogFormatter
from recsys_lab.runs.model_card.page import CARD, PAGE, write_card
from recsys_lab.runs.off_policy import off_policy_table
from recsys_lab.runs.record import (
    CONFIG,
    RECORD,
    RunRecord,
    finish_time,
    only_process,
)
from recsys_lab.runs.summary_tables import result_table, slices_table

if TYPE_CHECKING:
    from omegaconf import DictConfig

_log = logging.getLogger(__name__)


def recorded(
    cfg: DictConfig, folder: Path, console: Console, trial: TrialRun | None = None,
    prepared: Path | None = None,
) -> RunRecord:  # fmt: skip
    """The finished run of a config in a folder, begun or gone on with.

    Args:
        cfg: the whole config.
        folder: the run directory.
        console: for people.
        trial: set when the run is one of a search.
        prepared: folder of the dataset that was prepared for it, or None to prepare it.

    Raises:
        Pruned: the search stopped it.
    """
    with only_process(folder):
        record = _open(cfg, folder)
        if record.done:
            console.print(f"{folder}: this run is finished", soft_wrap=True)
            if not all((folder / name).exists() for name in (CARD, PAGE)):
                write_card(record)  # its process was killed just before
            _show(console, record)
            return record
        handlers = _log_to(folder / "run.log")
        try:
            _execute(cfg, record, console, trial, prepared)
        except (Interrupted, KeyboardInterrupt):
            record.update(status="interrupted")
            raise Interrupted(
                f"stopped; what was done is kept. Go on with: recsys-lab train resume={folder}"
            ) from None
        except Pruned:
            record.update(status="pruned", **finish_time())
            raise
        except UserError:
            record.update(status="failed")
            raise
        except BaseException as error:
            # A fault of the machine is told at the end, in one line; the log has the rest.
            level = logging.INFO if machine_fault(error) else logging.ERROR
            _log.log(level, "the run failed\n%s", traceback.format_exc())
            with suppress(OSError):  # of a full disk, too, the cause is told
                record.update(status="failed")
            raise
        finally:
            for handler in handlers:
                logging.getLogger().removeHandler(handler)
                handler.close()
        write_card(record)
        _show(console, record)
        return record


def _execute(
    cfg: DictConfig, record: RunRecord, console: Console, trial: TrialRun | None,
    prepared: Path | None,
) -> None:  # fmt: skip
    windows = window_configs(cfg)
    if len(windows) == 1:
        execute(windows[0], record, console, trial, prepared)
        return
    records = []
    for number, config in enumerate(windows):
        folder = record.folder / f"window_{number}"
        config.run_dir = str(folder)
        config.group = cfg.group or record.folder.name
        config.name = f"{record.values['name']} window {number}"
        console.print(f"window {number + 1} of {len(windows)}")
        records.append(recorded(config, folder, console))
    record.update(**mean_of_windows(records), status="finished", **finish_time())


def _identity(config: Any) -> dict[str, Any]:
    """The config without what may differ between a run and its continuation."""
    own = {k: v for k, v in config.items() if k not in ("run_dir", "resume", "verify")}
    if own.get("init_from") is None:  # runs of older versions have no such key
        own.pop("init_from", None)
    else:  # they have it as it was given
        own["init_from"] = str(Path(own["init_from"]).absolute())
    return own


def _open(cfg: DictConfig, folder: Path) -> RunRecord:
    config = scrubbed(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(config, dict)
    if config.get("init_from") is not None:
        config["init_from"] = str(Path(config["init_from"]).absolute())
    if not (folder / RECORD).exists() or RunRecord.load(folder).failed_before_training:
        # The record last: a folder with a record can be resumed, so it must hold the config.
        write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(config)))
        return RunRecord.create(folder, name=cfg.name or _default_name(cfg), config=config)  # type: ignore[arg-type]
    record = RunRecord.load(folder)
    stored = _identity(record.values["config"])
    differing = [k for k, v in _identity(config).items() if stored.get(k) != v]
    if differing == ["recipe"] and cfg.resume not in (None, "auto"):
        train_longer(record, config)
    elif differing:
        msg = (
            f"{folder}: holds a run with another config (differs in {', '.join(differing)}); "
            f"continue that one with resume={folder} alone, or choose another run_dir"
        )
        raise UserError(msg)
    return record


def _default_name(cfg: DictConfig) -> str:
    """The model's class, or the config that was chosen where it has another name.

    So a variant (``model=ease_decayed``) is not recorded under the published model's name.
    """
    name = str(cfg.model._target_.rpartition(".")[2])
    chosen = HydraConfig.get().runtime.choices.get("model") if HydraConfig.initialized() else None
    is_variant = chosen and chosen.replace("_", "").lower() != name.lower()
    return str(chosen) if is_variant else name


def _show(console: Console, record: RunRecord) -> None:
    values = record.values
    if "windows" in values:
        console.print(window_table(values))
        return
    rows = {}
    for phase in ("validation", "test"):
        if values.get(phase):
            of = ", refit" if phase == "test" and values.get("refit") else ""
            rows[f"{values['name']} ({phase}{of})"] = values[phase]
    if rows:
        console.print(result_table(rows, values["data"]["name"], values.get("intervals")))
    if values.get("off_policy"):
        console.print(off_policy_table(values["off_policy"]))
    slices = record.slices()
    if slices is not None:
        console.print(slices_table(slices, record.main_metric))


class _RunLog(logging.FileHandler):
    """Losing the log on a full disk never loses the run, and shows no traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        """In place of a traceback on the terminal."""

    def close(self) -> None:
        """Also where what is left cannot be written."""
        with suppress(OSError):
            super().close()


def _log_to(path: Path) -> tuple[logging.Handler, ...]:
    """Everything of the lab into the run's log; warnings also to the terminal.

    Raises:
        UserError: the log is a link, as in a run that somebody else made: it may lead anywhere.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a symbolic link, which a run does not make; remove it")
    handler = _RunLog(path)
    logging.getLogger("recsys_lab").setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal.setFormatter(LogFormatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().addHandler(terminal)
    return handler, terminal
