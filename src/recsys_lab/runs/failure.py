"""Why a run failed, in its record: the type and the message of the error that ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.runs.record import RunRecord

_LONGEST = 2000  # characters; messages of some libraries have a whole traceback


def failure_of(error: BaseException) -> dict[str, dict[str, str]]:
    """The field for `RunRecord.update`, which masks secrets."""
    return {"failure": {"type": type(error).__name__, "message": str(error)[:_LONGEST]}}


def forget_failure(record: RunRecord) -> None:
    """Remove that of an earlier attempt, where the run begins again."""
    record.values.pop("failure", None)


def described(values: Mapping[str, Any]) -> str | None:
    """``UserError: message`` in one line; None without a failure, also in older records."""
    failure = values.get("failure")
    if not failure:
        return None
    return " ".join(f"{failure.get('type', '')}: {failure.get('message', '')}".split())
