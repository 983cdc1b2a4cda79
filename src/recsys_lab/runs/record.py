"""The run record: one directory a run, one ``run.json`` in it, never half-written.

The record has a seal (its field ``digest``) and the digests of the run's other files (``files``):
what was damaged or changed since is refused before a number is made of it. Who changes a record by
hand sets its ``digest`` to null; it is then read, and told as not verified.
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
"""What a model has learned: one that is trained, one that is fitted in one pass."""
REFIT_WEIGHTS = "checkpoints/refit/best.safetensors"
"""Of one that was trained once more on training and validation events."""
PER_USER, SLICES = "test_users.parquet", "slices.parquet"
KILLED = "killed"
"""Shown in place of the status "running" where no process works on the run."""
_LOCK = ".lock"
BRING_BACK = (
    "; bring the file back from a copy, train again in another run_dir, or leave the run out"
)
NOT_VERIFIED = "the record is of an older version, without digests, or was changed by hand"
SCHEMA_VERSION = 2
_WITHOUT_SEAL = 1
"""The version before: read, and told as not verified."""


class Busy(UserError):
    """Another process works on the run."""


class RunRecord:
    """What is known of one run; every change is on disk when the call returns.

    Args:
        folder: the run directory.
        values: the content of ``run.json``.
    """

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self.folder = folder
        self.values = values
        self._epochs_written = 0

    @classmethod
    def create(cls, folder: Path, *, name: str, config: dict[str, Any]) -> RunRecord:
        """Start a record: status "running", with code, packages and machine noted."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EPOCHS).unlink(missing_ok=True)  # of a run that left nothing else
        code, diff = code_state(Path(__file__).parent)
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
        }
        record = cls(folder, {})
        record.update(**values)
        return record

    @classmethod
    def load(cls, folder: Path) -> RunRecord:
        """Read a run directory.

        Raises:
            UserError: there is no readable record, or it is damaged.
        """
        path = folder / RECORD
        if not folder.is_dir() or not path.exists():
            msg = f"{folder}: no run there ({RECORD} is missing); give the directory of a run"
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
                f"{path}: damaged, or changed by hand: its content does not match its own "
                f"'{SEAL}'. Bring the file back from a copy, or train again; or, if you changed it "
                f'and mean it, set its "{SEAL}" to null: the run then counts as not verified'
            )
        # Not needed to say what is wrong with a command, and slow to import.
        from recsys_lab.runs.fields import refuse_other_types

        refuse_other_types(path, values)
        if any(f"{old}@".encode() in text for old in RENAMED_METRICS):  # a long record is slow
            values.update(with_current_metrics(values))
        values["config"] = with_current_names(values.get("config"))
        epochs = read_epochs(folder)
        if epochs is not None:
            values["epochs"] = epochs
        return record

    def update(self, **changes: Any) -> None:
        """Set fields and store the record, from which trackers and cards copy: no secret enters."""
        self._store(changes, epochs_apart=(self.folder / EPOCHS).exists())

    def _store(self, changes: dict[str, Any], *, epochs_apart: bool) -> None:
        self.values.update(scrubbed(changes), schema_version=SCHEMA_VERSION)
        stored = self.values | ({"epochs": []} if epochs_apart else {})
        self.values[SEAL] = stored[SEAL] = seal(stored)
        write_text(self.folder / RECORD, json.dumps(stored, indent=2) + "\n")

    def note_epochs(self, history: list[dict[str, float]], seconds: float) -> None:
        """Set the epochs so far, and what they have cost; see `recsys_lab.runs.epochs`."""
        write_epochs(self.folder, history, self._epochs_written)
        self._epochs_written = len(history)
        self.note_compute(seconds, epochs=list(history))

    def end_epochs(self, history: list[dict[str, float]], **changes: Any) -> None:
        """Set all epochs, of a training that has ended, and ``changes``."""
        self._store({"epochs": history, **changes}, epochs_apart=False)
        (self.folder / EPOCHS).unlink(missing_ok=True)

    def note_compute(self, seconds: float, **changes: Any) -> None:
        """Set the wall time of all processes so far, raise the peak memory, set ``changes``."""
        peak = max(self.values["compute"]["peak_memory_mebibytes"], peak_memory_mebibytes())
        spent = {"seconds": round(seconds, 3), "peak_memory_mebibytes": round(peak, 1)}
        self.update(compute={**self.values["compute"], **spent}, **changes)

    def note_files(self, *names: str, **changes: Any) -> None:
        """Set the digests of files of the run as they are now, and ``changes``."""
        files = {**self.values.get("files", {}), **digests(self.folder, names)}
        self.update(files=files, **changes)

    @property
    def is_verified(self) -> bool:
        """Whether record and files are as the lab wrote them; else nobody can tell."""
        sealed = self.values["schema_version"] == SCHEMA_VERSION
        return sealed and self.values.get(SEAL, "") is not None  # without one: damaged

    @contextmanager
    def reading(self, name: str, cure: str = BRING_BACK) -> Iterator[Path]:
        """Read a file of the run in the body: it is what the run wrote, as far as is known.

        Args:
            name: of the file.
            cure: as of `recsys_lab.files.reading.reading`.

        Raises:
            UserError: it is missing or damaged.
        """
        path = self.folder / name
        with reading(path, cure):
            noted = self.values.get("files", {})
            problem = damage(self.folder, {name: noted[name]}) if name in noted else None
            if problem:
                raise UserError(f"{problem}{cure}")
            yield path

    def check(self, name: str, cure: str = BRING_BACK) -> None:
        """Raise what `reading` would of a file that something else is about to read."""
        with self.reading(name, cure):
            pass

    def table(self, name: str, cure: str = BRING_BACK) -> pl.DataFrame:
        """A Parquet file of the run; see `reading`."""
        import polars as pl  # not needed for the record itself

        with self.reading(name, cure) as path:
            return pl.read_parquet(path, glob=False).rename(current_metric)

    def slices(self) -> pl.DataFrame | None:
        """Every metric of the test by slice; None where the run has no such file.

        Raises:
            UserError: the file is damaged or may not be read.
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
        """As it was stored, but `KILLED` where a run that was going on has no process any more."""
        stored = str(self.values["status"])
        gone = stored == "running" and is_held(self.folder / _LOCK) is False
        return KILLED if gone else stored

    @property
    def failed_before_training(self) -> bool:
        """Whether the run failed before there was anything to keep, e.g. for a wrong setting."""
        has_checkpoints = any((self.folder / "checkpoints").glob("*"))
        return self.values["status"] == "failed" and not has_checkpoints

    @property
    def weights(self) -> str:
        """The file with what the tested model has learned, of a run that is trained."""
        return REFIT_WEIGHTS if self.values.get("refit") else WEIGHTS

    @property
    def main_metric(self) -> str:
        """The metric that the recipe watches, without its phase, e.g. ``ndcg@10``."""
        return str(self.values["config"]["recipe"]["monitor"]).partition("/")[2]

    @property
    def done(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.values["status"] == "finished")


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the run directory; the lock goes with the process, however it ends.

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
            raise ValueError(f"a {type(values).__name__} in place of an object")
    except (ValueError, RecursionError) as error:  # no JSON, no text, or JSON of another kind
        msg = f"{path}: not a run record ({error}): damaged, or changed by hand{BRING_BACK}"
        raise UserError(msg) from None
    return values


def _number(digits: str) -> int:
    """No number of the lab has more digits than a 64-bit one, and few libraries take more."""
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def finish_time() -> dict[str, str]:
    """The field that `RunRecord.update` gets at the end."""
    return {"finished": datetime.now(UTC).isoformat(timespec="seconds")}
