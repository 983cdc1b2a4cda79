"""A run with its folder, record and log: started, resumed, or shown if it is finished."""

from __future__ import annotations

import logging
import traceback
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recsys_lab.config import Interrupted, Pruned, UserError, Verdict
from recsys_lab.contracts.processes import is_first
from recsys_lab.experiment.backtest import mean_of_windows, window_configs, window_table
from recsys_lab.experiment.run import TrialRun, execute
from recsys_lab.experiment.run_folder import open_record
from recsys_lab.experiment.several.follower import (
    Follower,
    naming_the_lost,
    record_of_all,
    silent,
)
from recsys_lab.files.faults import machine_fault
from recsys_lab.pages.terminal import PROGRESS, LogFormatter, progress_on
from recsys_lab.runs.failure import again, failure_of, forget_failure, stopped
from recsys_lab.runs.model_card.page import CARD, PAGE, write_card
from recsys_lab.runs.record import RunRecord, finish_time, only_process
from recsys_lab.runs.summary_tables import result_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig

_log = logging.getLogger(__name__)


def recorded(
    cfg: DictConfig,
    folder: Path,
    console: Console,
    trial: TrialRun | None = None,
    prepared: Path | None = None,
    **fields: Any,
) -> RunRecord:
    """Start or resume the run of a config in a folder; returns its record when finished.

    Args:
        cfg: the whole config.
        folder: the run directory.
        console: the console.
        trial: set if the run is a trial of a search.
        prepared: folder of the dataset that was prepared for it, or None to prepare it.
        fields: more fields of a new record.

    Raises:
        Pruned: the search stopped it.
    """
    with ExitStack() as held:

        def opened() -> RunRecord:
            held.enter_context(only_process(folder))
            return open_record(cfg, folder, **fields)

        record = record_of_all(folder, opened)
        if isinstance(record, Follower):
            _follow(cfg, record)
            return record
        if record.done:
            console.print(f"{folder}: this run is finished", soft_wrap=True)
            if not all((folder / name).exists() for name in (CARD, PAGE)):
                write_card(record)  # the process was killed before writing it
            _show(console, record)
            return record
        forget_failure(record)
        with _logged_to(folder / "run.log"), progress_on(console):
            try:
                with naming_the_lost():
                    _execute(cfg, record, console, trial, prepared)
            except (Interrupted, KeyboardInterrupt):
                _log.info("interrupted")
                record.update(status="interrupted")
                raise Interrupted(f"{stopped(record)} {again(record)}", folder) from None
            except Pruned as stop:
                PROGRESS.info("%s", stop)
                record.update(status="pruned", **finish_time())
                raise
            except (UserError, Verdict) as error:
                record.update(status="failed", **failure_of(error))
                raise
            except BaseException as error:
                # A fault of the machine is reported in one line; the log has the traceback.
                level = logging.INFO if machine_fault(error) else logging.ERROR
                _log.log(level, "the run failed\n%s", traceback.format_exc())
                with suppress(OSError):  # on a full disk, report the original error
                    record.update(status="failed", **failure_of(error))
                raise
        write_card(record)
        _show(console, record)
        return record


def _follow(cfg: DictConfig, record: Follower) -> None:
    """Take part in a run as another process than the first, which writes and tells."""
    if record.done:
        return
    try:
        with silent(), naming_the_lost():
            _execute(cfg, record, Console(quiet=True), None, None)
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted from None


def _execute(
    cfg: DictConfig,
    record: RunRecord,
    console: Console,
    trial: TrialRun | None,
    prepared: Path | None,
) -> None:
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
        PROGRESS.info("window %d of %d", number + 1, len(windows))
        records.append(recorded(config, folder, console))
    if is_first():
        record.update(**mean_of_windows(records))
    record.update(status="finished", **finish_time())


def _show(console: Console, record: RunRecord) -> None:
    values = record.values
    if "windows" in values:
        console.print(window_table(values))
        return
    of = {"validation": "validation", "test": "test, refit" if values.get("refit") else "test"}
    columns = {f"{values['name']} ({of[p]})": values[p] for p in of if values.get(p)}
    caption = values["data"]["name"]
    for table in result_tables(record, columns, caption, values, record.slices()):
        console.print(table)


class _RunLog(logging.FileHandler):
    """A log file whose write errors (a full disk) are ignored: they must not stop the run."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error; the base class prints a traceback."""

    def close(self) -> None:
        """Close, even if the buffer cannot be written."""
        with suppress(OSError):
            super().close()


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Log messages of the lab to the run's log, and warnings also to the terminal.

    Raises:
        UserError: the log is a symbolic link, which could point anywhere in an untrusted run.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a symbolic link, expected a file; remove it")
    handler = _RunLog(path)
    logging.getLogger("recsys_lab").setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal.setFormatter(LogFormatter("%(message)s"))
    try:
        for each in (handler, terminal):
            logging.getLogger().addHandler(each)
        yield
    finally:
        for each in (handler, terminal):
            logging.getLogger().removeHandler(each)
            each.close()
