"""Which errors stop the whole sweep, and which ones only fail their trial.

A trial that ends with an error has failed, unless

1. the error is a full disk, a broken file system or the like (`recsys_lab.files.faults`);
2. the study's storage is away, for longer than every call waits for it;
3. another process holds the trial's run directory, or its dataset is no longer whole;
4. something that all trials share is broken when the error comes: the working directory, the
   sweep's folder (a file must be writable there), the prepared dataset or, where the data are
   searched, the source that every trial reads, or the file of the study's storage.

Then the trial is released unchanged, and the sweep stops: the next trial would fail, too. A missing
file that only this trial's config names is a failure of the trial.
"""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.data.preparation.manifest import read_manifest
from recsys_lab.data.prepared import NotWhole
from recsys_lab.files.faults import MachineFault, chain, impossible_name, machine_fault
from recsys_lab.runs.record import Busy
from recsys_lab.sweeps.storage.backends import file_of
from recsys_lab.sweeps.storage.retry import is_away, storage_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.sweeps.plan import Plan

STOPPED = 75
"""Exit code of a worker that a fault stopped (EX_TEMPFAIL of ``sysexits.h``)."""
GO_ON = (
    "the sweep has stopped; finished trials are kept, and the same command resumes unfinished "
    "ones from their last checkpoint"
)
_PROBE = 1 << 16  # bytes


def fault_of(error: BaseException, plan: Plan) -> str | None:
    """What is wrong for all trials and what to do, in one line; None for a trial's own error.

    Args:
        error: that ended a trial, or a worker between trials.
        plan: of the sweep.
    """
    if any(isinstance(cause, OSError) and cause.errno == errno.EROFS for cause in chain(error)):
        return machine_fault(error)  # else a file that could not be created would count as missing
    # Errors of a full disk often name no path; `unwell` names one, if it is on that disk.
    fault = storage_fault(error) or unwell(plan)
    if fault:
        return fault
    for cause in chain(error):
        if isinstance(cause, Busy) or (isinstance(cause, NotWhole) and plan.prepared):
            return str(cause)
    return machine_fault(error, refused=False)


def unwell(plan: Plan) -> str | None:
    """What is wrong with the files that all trials share, in one line; None if nothing is."""
    try:
        for path in _shared(plan):
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        with tempfile.TemporaryFile(dir=plan.folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.filename is None:
            error.filename = plan.folder
        return machine_fault(error, missing=True) or f"{error.filename}: {error.strerror}"
    if plan.prepared is None:
        return None
    folder = Path(plan.prepared["folder"])
    manifest, problem = read_manifest(folder, "sizes")
    if manifest is None:
        return (
            f"{folder}: the prepared dataset of all trials is damaged: {problem}; restore it, or "
            "run the same command again, which prepares it again"
        )
    return None


def _shared(plan: Plan) -> Iterator[Path]:
    """Files and folders without which no trial can run."""
    yield Path.cwd()  # raises if it was removed
    yield plan.path
    storage = file_of(plan.storage)
    if storage is not None:
        yield storage
    if plan.source is not None:
        yield Path(plan.source)


@contextmanager
def explain_faults(plan: Plan) -> Iterator[None]:
    """End the command with a message that says what was kept, if a fault stops it.

    Raises:
        MachineFault: instead of the error of the machine or the storage.
    """
    try:
        yield
    except MachineFault:
        raise
    except Exception as error:
        known = isinstance(error, UserError) and not is_away(error)
        if wrong := impossible_name(error):
            raise UserError(wrong) from error
        fault = None if known else fault_of(error, plan)
        if fault is None:
            raise
        raise stopped(fault) from error


def stopped(message: str) -> MachineFault:
    """The error that ends the command with exit 1, saying what was kept."""
    return MachineFault(f"{message}\n{GO_ON}")
