"""Loads what is served: a run, an export, or the champion of a registry."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.config.commands import Verify
from recsys_lab.deploy.serve.champion import REGISTRY, Champion
from recsys_lab.deploy.serve.queries import Bundle
from recsys_lab.deploy.serve.run_model import RunModel
from recsys_lab.experiment.restore import restore
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import FITTED, RECORD


def is_registry(folder: Path) -> bool:
    """Whether a folder is a registry: it has `REGISTRY`."""
    return (folder / REGISTRY).exists()


def load_run(folder: Path, verify: Verify, warm_up: int) -> Bundle:
    """A finished run, warmed up.

    Args:
        folder: the run directory.
        verify: how its prepared dataset is checked.
        warm_up: size of the batch to warm up with.

    Raises:
        UserError: it is not a finished run with a model, or damaged.
    """
    record = whole_record(folder)
    if not record.done and "windows" not in record.values:
        raise UserError(
            f"{folder}: the run's status is '{record.status}', so it has no model to serve; finish "
            f"it first: recsys-lab train resume={folder}"
        )
    parts = restore(record, verify)
    model = RunModel(parts)
    model.warm_up(1)
    model.warm_up(warm_up)
    values = record.values
    files = values.get("files", {})
    weights = files.get(FITTED if parts.is_fitted else record.weights, {}).get("sha256")
    name = str(values["name"])
    return Bundle(
        model,
        version=f"{name}-{(weights or values['created'])[:12]}",
        number=0,
        about={
            "run": folder.resolve().name,
            "name": name,
            "model": type(parts.model).__name__,
            "weights_sha256": weights,
            "data": values["data"]["name"],
            "data_fingerprint": values["data"]["fingerprint"],
            "num_items": values["data"]["num_items"],
            "loaded": _now(),
        },
    )


def load_champion(champion: Champion, verify: Verify, warm_up: int) -> Bundle:
    """The champion of a registry, warmed up; see `load_run`.

    Raises:
        UserError: it cannot be loaded.
    """
    bundle = load_run(champion.run, verify, warm_up)
    about: dict[str, Any] = {"champion": champion.version, "promoted": champion.promoted}
    return Bundle(bundle.model, str(champion.version), champion.version, {**about, **bundle.about})


def refuse_other(folder: Path) -> None:
    """Check that a folder can be served.

    Raises:
        UserError: it is missing, or neither a run, an export nor a registry.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give a run, an export or a registry")
    if not (is_registry(folder) or (folder / RECORD).exists()):
        raise UserError(
            f"{folder}: neither a run ({RECORD}) nor a registry ({REGISTRY}); give the directory "
            "of a finished run, or the registry that a run was promoted in"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
