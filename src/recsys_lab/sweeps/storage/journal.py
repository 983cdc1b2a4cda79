"""The journal file of a study: locked, repaired after a writer's death or other damage.

Every line is one operation as JSON. Lines that create trials have no id: the first trial is 0, the
next one 1. A lost line must therefore never shift the others.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.files.locks import hold
from recsys_lab.sweeps.storage.attributes import CAUSE, ID, NUMBER, SPEC

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optuna.storages import JournalStorage

_SHORTEST = 50  # bytes of a line that creates a trial, at least
_LOST = "the journal was damaged, and this trial is lost"
_log = logging.getLogger(__name__)


def open_journal(path: Path) -> JournalStorage:
    """Open a journal file as a storage, or create it.

    Damaged lines are left out; the original file is kept beside it.

    Raises:
        UserError: the file is too damaged to be used.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    lock: Any = _JournalLock(path)

    def storage() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))

    lock.acquire()
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        if all(_parsed(line) is not None for line in lines):
            try:
                return storage()
            except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
                pass  # a line is JSON but not an operation; `_salvage` leaves it out
        _salvage(path, lines)
        return storage()
    finally:
        lock.release()


class _JournalLock:
    """A lock that ends with its process, and removes the half-written line of a killed one.

    Optuna's own locks are files: a process that dies with one blocks the others for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()

    def acquire(self) -> bool:
        if not self._path.exists():  # Optuna would create an empty one
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))
        self._held.enter_context(hold(self._path.with_name(f".{self._path.name}.lock"), wait=True))
        _mend(self._path)
        return True

    def release(self) -> None:
        self._held.close()


def _mend(path: Path) -> None:
    """Cut off a last line without a line end: its writer died, and readers would fail on it."""
    with path.open("rb+") as journal:
        size = journal.seek(0, 2)
        if not size:
            return
        journal.seek(-1, 2)
        if journal.read(1) == b"\n":
            return
        journal.seek(0)
        journal.truncate(journal.read().rfind(b"\n") + 1)
        _log.warning("%s: dropped a half-written line", path)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The operation of a line, or None if the line is damaged."""
    try:
        log = json.loads(line)
    except ValueError:  # also: not UTF-8
        return None
    whole = isinstance(log, dict) and isinstance(log.get("op_code"), int)
    return log if whole and isinstance(log.get("trial_id", 0), int) else None


def _salvage(path: Path, lines: Sequence[bytes]) -> None:
    """Rewrite the journal without its damaged lines, and log what was lost."""
    salvage = _Salvage()
    for line in lines:
        salvage.read(line)
    if not salvage.has_header():
        raise UserError(
            f"{path}: the lines that describe the study are damaged, so the file cannot be used; "
            "it was not changed. Restore an older copy, or use another sweep.name"
        )
    backup = path.with_name(f"{path.name}.damaged")
    while backup.exists():
        backup = backup.with_name(f"{backup.name}+")
    replace_atomically(backup, lambda file: file.write_bytes(b"".join(lines)))
    replace_atomically(path, lambda file: file.write_bytes(b"".join(salvage.kept)))
    _log.warning(
        "%s: the journal was damaged: %d of %d lines could not be read and are left out%s; the "
        "study continues with the others, and the original file is kept as %s",
        path,
        salvage.lost,
        len(lines),
        salvage.concerned(),
        backup.name,
    )


@dataclass
class _Salvage:
    """Reads a damaged journal line by line.

    A line that creates one of the lab's trials has the trial's number, and one that changes a
    trial has its id. If a number or an id is larger than the lines before explain, trials were
    lost: each is replaced by a failed one, to which later lines about it apply. If a line after a
    lost one creates a trial without a number, the lines that follow cannot be trusted.

    Attributes:
        kept: the lines of the new journal.
        lost: how many lines are left out.
        numbers: of the trials that were lost.
        named: ids of trials that damaged lines name.
    """

    kept: list[bytes] = field(default_factory=list)
    lost: int = 0
    numbers: list[int] = field(default_factory=list)
    named: set[int] = field(default_factory=set)
    _stopped: bool = False
    _room: int = 0  # trials that may have been created by what was left out

    def __post_init__(self) -> None:
        from recsys_lab.sweeps.storage.optuna_internals import Replay

        self._replay = Replay()

    def read(self, line: bytes) -> None:
        """Keep a line, or leave it out."""
        log = _parsed(line)
        if log is None or self._stopped or not self._fits(log) or not self._applies(log):
            self.lost += 1
            self._room += max(1, len(line) // _SHORTEST)
            self.named.update(int(number) for number in re.findall(rb'"trial_id":(\d{1,9})', line))
            return
        self.kept.append(line)

    def has_header(self) -> bool:
        """Whether every study has its id and spec."""
        studies = self._replay.studies()
        return bool(studies) and all({ID, SPEC} <= study.user_attrs.keys() for study in studies)

    def concerned(self) -> str:
        """The affected trials, as far as they are known."""
        text = ""
        if self.numbers:
            text += f"; trials {', '.join(map(str, self.numbers))} are lost and count as failed"
        if self.named:
            text += f"; trials {', '.join(map(str, sorted(self.named)))} have lost some values"
        return text

    def _fits(self, log: dict[str, Any]) -> bool:
        """Whether the study or trial of a line is certain; replaces lost trials before it."""
        from recsys_lab.sweeps.storage.optuna_internals import CREATE_TRIAL

        studies = self._replay.trials()
        if log["op_code"] == CREATE_TRIAL:
            trials = studies.get(log.get("study_id", -1))
            number = (log.get("user_attrs") or {}).get(NUMBER)
            if not self.lost:
                return True
            if trials is None or number is None or not 0 <= number - len(trials) <= self._room:
                self._stopped = True
                return False
            self._replace(log["study_id"], number - len(trials))
            return True
        missing = log.get("trial_id", -1) + 1 - self._replay.count()
        if missing > 0:
            if len(studies) != 1 or missing > self._room:
                return False
            self._replace(next(iter(studies)), missing)
        return True

    def _replace(self, study: int, count: int) -> None:
        """Add failed trials in place of lost ones."""
        from optuna.trial import TrialState

        from recsys_lab.sweeps.storage.optuna_internals import CREATE_TRIAL

        self._room -= count
        for _ in range(count):
            number = len(self._replay.trials()[study])
            now = datetime.now(tz=UTC).isoformat(timespec="microseconds")
            log = {
                "op_code": CREATE_TRIAL,
                "worker_id": "salvage",
                "study_id": study,
                "datetime_start": now,
                "datetime_complete": now,
                "state": TrialState.FAIL,
                "value": None,
                "values": None,
                "distributions": {},
                "params": {},
                "user_attrs": {CAUSE: _LOST, NUMBER: number},
                "system_attrs": {},
                "intermediate_values": {},
            }
            self._replay.apply(log)
            self.kept.append(json.dumps(log, separators=(",", ":")).encode() + b"\n")
            self.numbers.append(number)

    def _applies(self, log: dict[str, Any]) -> bool:
        """Whether Optuna can replay a line."""
        try:
            self._replay.apply(log)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            return False
        return True
