"""Runs that failed: the error in their record, and the refusal of what is not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError, command_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.runs.record import RunRecord

_ENDED = ("failed", "interrupted", "killed")
_LONGEST = 2000  # characters; messages of some libraries have a whole traceback


def failure_of(error: BaseException) -> dict[str, dict[str, str]]:
    """The field for `RunRecord.update`, which masks secrets."""
    return {"failure": {"type": type(error).__name__, "message": str(error)[:_LONGEST]}}


def forget_failure(record: RunRecord) -> None:
    """Remove that of an earlier attempt, where the run begins again."""
    record.values.pop("failure", None)


def is_check(record: RunRecord) -> bool:
    """Whether the run learns one batch by heart (``debug=overfit``), so that none resumes it."""
    recipe = record.values["config"].get("recipe") or {}
    return recipe.get("overfit_loss") is not None


def again(record: RunRecord) -> str:
    """The command for a run that has stopped: it resumes the run, or begins a check anew."""
    return command_line("train", f"{'from' if is_check(record) else 'resume'}={record.folder}")


def stopped(record: RunRecord) -> str:
    """What to do about a run that was interrupted, without the command `again`."""
    if is_check(record):
        return "stopped; a check of one batch is not resumed. Begin it again with:"
    return "stopped; progress is saved. Resume with:"


def refuse_unfinished(record: RunRecord, lack: str, where: str | None = None) -> None:
    """Refuse a run that is not finished.

    Args:
        record: of the run.
        lack: what it does not have, e.g. ``no model to serve``.
        where: what names the run in the message; None: its folder.

    Raises:
        UserError: it is not finished; says how to finish it.
    """
    if record.done:
        return
    cure = f"{'begin it again' if is_check(record) else 'finish it first'}: {again(record)}"
    if not is_check(record) and record.failed_before_training:
        cure = (
            "it failed before its first checkpoint, so there is nothing to resume: correct the "
            f"cause and train again, with run_dir={record.folder} or another one"
        )
    raise UserError(
        f"{where or record.folder}: the run's status is '{record.status}', so it has {lack}; {cure}"
    )


def never_began(record: RunRecord) -> bool:
    """Whether a run ended before its work: without data, epochs and results."""
    values = record.values
    works = any(values.get(key) for key in ("data", "epochs", "windows", "validation", "test"))
    return record.status in _ENDED and not works


def refuse_trial(record: RunRecord, lack: str) -> None:
    """Refuse a trial of a sweep, which does not use the test split.

    Args:
        record: of a finished run.
        lack: what it does not have, e.g. ``no test result``.

    Raises:
        UserError: it is a trial; says how to train the sweep's best config.
    """
    if "test" in record.values:
        return
    configs = record.folder.absolute().parents[1] / "configs"
    best = "the command of the sweep writes its best config when it has ended"
    if (configs / "experiment/best.yaml").is_file():
        again = command_line("train", "--config-dir", str(configs), "experiment=best")
        best = f"for the sweep's best: {again}"
    raise UserError(
        f"{record.folder}: a trial of a sweep, which has {lack}; train its config as an ordinary "
        f"run; {best}"
    )


def described(values: Mapping[str, Any]) -> str | None:
    """``UserError: message`` in one line; None without a failure, also in older records."""
    failure = values.get("failure")
    if not failure:
        return None
    return " ".join(f"{failure.get('type', '')}: {failure.get('message', '')}".split())
