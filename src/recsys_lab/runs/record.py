"""The run record: ``run.json`` in the directory of a run, written atomically.

The record has a seal (the field ``digest``) and the digests of the run's other files (``files``),
so that damaged or changed files are refused. To change a record by hand, set its ``digest`` to
null; it is then read as not verified.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.secrets import scrubbed, scrubbed_code
from recsys_lab.files.atomic import remove_temporaries, write_text
from recsys_lab.files.digests import SEAL, damage, digests, seal
from recsys_lab.files.locks import Held, hold, is_held
from recsys_lab.files.reading import reading
from recsys_lab.moved import (
    RENAMED_METRICS,
    current_metric,
    with_current_metrics,
    with_current_names,
)
from recsys_lab.runs.epochs import EPOCHS, read_epochs, write_epochs
from recsys_lab.runs.memory import peak_memory_mebibytes
from recsys_lab.runs.provenance import DIFF, code_state, package_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

RECORD = "run.json"
CONFIG = "config.yaml"
WEIGHTS, FITTED = "checkpoints/best.safetensors", "model.npz"
"""Weights of a trained model, and of a model that is fitted in one pass."""
REFIT_WEIGHTS = "checkpoints/refit/best.safetensors"
"""Weights of a model that was retrained on training and validation events."""
PER_USER, SLICES = "test_users.parquet", "slices.parquet"
KILLED = "killed"
"""Shown instead of the status "running" when no process works on the run."""
_LOCK = ".lock"
BRING_BACK = "; restore the file from a copy, train again in another run_dir, or leave the run out"
NOT_VERIFIED = "the record is of an older version, without digests, or was changed by hand"
SCHEMA_VERSION = 2
_WITHOUT_SEAL = 1
"""The previous version, which is read as not verified."""


class Busy(UserError):
    """Another process works on the run."""


class RunRecord:
    """The record of one run; every change is on disk when the call returns.

    Args:
        folder: the run directory.
        values: the content of ``run.json``.
    """

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self.folder = folder
        self.values = values
        self._epochs_written = 0

    @classmethod
    def create(cls, folder: Path, *, name: str, config: dict[str, Any], **fields: Any) -> RunRecord:
        """Start a record with status "running", the code, packages, machine, and ``fields``."""
        code, diff = code_state(Path(__file__).parent)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EPOCHS).unlink(missing_ok=True)  # left over from a removed run
        if diff:
            write_text(folder / DIFF, scrubbed_code(diff))
        values = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "status": "running",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": sys.argv,
            "seed": config.get("seed"),
            "config": config,
            "code": code,
            "packages": package_versions(),
            "machine": {
                "platform": platform.platform(),
                "python": platform.python_version(),
                "cpus": os.cpu_count(),
            },
            "compute": {"seconds": 0.0, "prepare_seconds": 0.0, "peak_memory_mebibytes": 0.0},
            "epochs": [],
            "files": digests(folder, [CONFIG] if (folder / CONFIG).is_file() else []),
            **fields,
        }
        record = cls(folder, {})
        record.update(**values)
        return record

    @classmethod
    def load(cls, folder: Path) -> RunRecord:
        """Read a run directory.

        Raises:
            UserError: the record is missing or damaged.
        """
        path = folder / RECORD
        if not folder.is_dir() or not path.exists():
            msg = f"{folder}: not a run ({RECORD} is missing); give the directory of a run"
            raise UserError(msg)
        with reading(path, BRING_BACK):
            text = path.read_bytes()
        values = _parsed(path, text)
        version = values.get("schema_version")
        if version not in (_WITHOUT_SEAL, SCHEMA_VERSION):
            msg = f"{path}: schema version {version}; this version of recsys_lab reads "
            raise UserError(f"{msg}{_WITHOUT_SEAL} and {SCHEMA_VERSION}")
        record = cls(folder, values)
        if record.is_verified and values.get(SEAL) != seal(values):
            raise UserError(
                f"{path}: damaged or changed by hand: the content does not match the field "
                f"'{SEAL}'. Restore the file from a copy or train again; after an intended change, "
                f'set "{SEAL}" to null: the run then counts as not verified'
            )
        from recsys_lab.runs.fields import refuse_other_types  # slow to import

        refuse_other_types(path, values)
        if any(f"{old}@".encode() in text for old in RENAMED_METRICS):  # slow for long records
            values.update(with_current_metrics(values))
        values["config"] = with_current_names(values.get("config"))
        epochs = read_epochs(folder)
        # A copy of the folder may have an older file of epochs than its record.
        if epochs is not None and len(epochs) >= len(values.get("epochs") or []):
            values["epochs"] = epochs
        return record

    def update(self, **changes: Any) -> None:
        """Set fields and store the record, without secrets."""
        self._store(changes, epochs_apart=(self.folder / EPOCHS).exists())

    def _store(self, changes: dict[str, Any], *, epochs_apart: bool) -> None:
        self.values.update(scrubbed(changes), schema_version=SCHEMA_VERSION)
        stored = self.values | ({"epochs": []} if epochs_apart else {})
        self.values[SEAL] = stored[SEAL] = seal(stored)
        write_text(self.folder / RECORD, json.dumps(stored, indent=2) + "\n")

    def note_epochs(self, history: list[dict[str, float]], seconds: float) -> None:
        """Set the epochs so far and their cost; see `recsys_lab.runs.epochs`."""
        write_epochs(self.folder, history, self._epochs_written)
        self._epochs_written = len(history)
        self.note_compute(seconds, epochs=list(history))

    def end_epochs(self, history: list[dict[str, float]], **changes: Any) -> None:
        """Set all epochs of a completed training, and ``changes``."""
        self._store({"epochs": history, **changes}, epochs_apart=False)
        (self.folder / EPOCHS).unlink(missing_ok=True)

    def note_compute(self, seconds: float, **changes: Any) -> None:
        """Set the wall time of all processes so far, raise the peak memory, set ``changes``."""
        peak = max(self.values["compute"]["peak_memory_mebibytes"], peak_memory_mebibytes())
        spent = {"seconds": round(seconds, 3), "peak_memory_mebibytes": round(peak, 1)}
        self.update(compute={**self.values["compute"], **spent}, **changes)

    def note_files(self, *names: str, **changes: Any) -> None:
        """Set the current digests of files of the run, and ``changes``."""
        files = {**self.values.get("files", {}), **digests(self.folder, names)}
        self.update(files=files, **changes)

    @property
    def is_verified(self) -> bool:
        """Whether the record has a seal, so that changes of record and files are detected."""
        sealed = self.values["schema_version"] == SCHEMA_VERSION
        return sealed and self.values.get(SEAL, "") is not None  # a missing seal is damage

    @contextmanager
    def reading(self, name: str, cure: str = BRING_BACK) -> Iterator[Path]:
        """Context manager for reading a file of the run after checking its digest.

        Args:
            name: of the file.
            cure: see `recsys_lab.files.reading.reading`.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self.folder / name
        with reading(path, cure):
            noted = self.values.get("files", {})
            problem = damage(self.folder, {name: noted[name]}) if name in noted else None
            if problem:
                raise UserError(f"{problem}{cure}")
            yield path

    def check(self, name: str, cure: str = BRING_BACK) -> None:
        """Check a file that other code is about to read; see `reading`."""
        with self.reading(name, cure):
            pass

    def table(self, name: str, cure: str = BRING_BACK) -> pl.DataFrame:
        """A Parquet file of the run; see `reading`."""
        import polars as pl

        with self.reading(name, cure) as path:
            return pl.read_parquet(path, glob=False).rename(current_metric)

    def slices(self) -> pl.DataFrame | None:
        """Every test metric by slice; None where the run has no such file.

        Raises:
            UserError: the file is damaged or cannot be read.
        """
        if not (self.folder / SLICES).exists():
            return None
        import polars as pl

        with self.reading(SLICES) as path:
            return (
                pl.read_parquet(path, glob=False)
                .with_columns(
                    pl.col("slice", "value", "metric").cast(pl.String),
                    pl.col("mean", "low", "high").cast(pl.Float64),
                    pl.col("users").cast(pl.Int64),
                )
                .with_columns(pl.col("metric").map_elements(current_metric, pl.String))
            )

    @property
    def status(self) -> str:
        """The stored status, or `KILLED` for a running run without a process."""
        stored = str(self.values["status"])
        gone = stored == "running" and is_held(self.folder / _LOCK) is False
        return KILLED if gone else stored

    @property
    def failed_before_training(self) -> bool:
        """Whether the run failed without a checkpoint, e.g. because of a wrong setting."""
        if self.values["status"] != "failed" or any((self.folder / "checkpoints").glob("*")):
            return False
        windows = (path.parent for path in self.folder.glob(f"window_*/{RECORD}"))
        return all(RunRecord.load(window).failed_before_training for window in windows)

    @property
    def weights(self) -> str:
        """The file with the weights of the tested model of a trained run."""
        return REFIT_WEIGHTS if self.values.get("refit") else WEIGHTS

    @property
    def main_metric(self) -> str:
        """The model selection metric, e.g. ``ndcg@10``."""
        return str(self.values["config"]["recipe"]["monitor"]).partition("/")[2]

    @property
    def done(self) -> bool:
        """Whether the run has finished."""
        return bool(self.values["status"] == "finished")


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Lock the run directory; the lock is released when the process ends in any way.

    Raises:
        Busy: another process holds it.
    """
    try:
        with hold(folder / _LOCK, wait=False):
            remove_temporaries(folder)
            yield
    except Held:
        msg = f"{folder}: another process works on this run; wait, or choose another run_dir"
        raise Busy(msg) from None


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text, parse_int=_number)
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__} instead of an object")
    except (ValueError, RecursionError) as error:
        msg = f"{path}: not a run record ({error}): damaged or changed by hand{BRING_BACK}"
        raise UserError(msg) from None
    return values


def _number(digits: str) -> int:
    """An integer of at most 64 bits, as few libraries support longer ones."""
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def finish_time() -> dict[str, str]:
    """The field for `RunRecord.update` at the end of a run."""
    return {"finished": datetime.now(UTC).isoformat(timespec="seconds")}
