"""A finished run with its data, protocol and trained model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors.torch import load_file

from recsys_lab.config import NoModule, UserError, command_line
from recsys_lab.config.commands import Verify
from recsys_lab.data.prepared import NotWhole, PreparedDataset
from recsys_lab.experiment.components import Components
from recsys_lab.experiment.identity import refuse_other_files
from recsys_lab.experiment.resume import refuse_changed
from recsys_lab.experiment.semantic_ids import KEPT_CODES, KEPT_VECTORS
from recsys_lab.models.inputs.item_inputs import KEPT
from recsys_lab.moved import with_current_names
from recsys_lab.runs.failure import refuse_unfinished
from recsys_lab.runs.record import CONFIG, FITTED, NOT_VERIFIED, RunRecord

_log = logging.getLogger(__name__)


_CURE = (
    ", so the run's numbers cannot be reproduced; restore the file, or train again in another "
    "run_dir"
)


def require_model(record: RunRecord) -> None:
    """Check that a run has a trained model.

    Raises:
        UserError: it is a back-test, or not finished.
    """
    if "windows" in record.values:
        raise UserError(
            f"{record.folder}: a rolling back-test; load one of its windows, which are runs, e.g. "
            "window_0"
        )
    refuse_unfinished(record, "no trained model")


def restore(record: RunRecord, verify: Verify = "full", *, prepare: bool = False) -> Components:
    """Load the data, protocol and trained model of a finished run.

    Args:
        record: record of the run.
        verify: how the prepared dataset is checked; the run's files are always checked in full.
        prepare: whether a missing dataset may be prepared again from its source, as the run's
            config says.

    Raises:
        UserError: the data have changed, or a file of the run is missing or damaged.
    """
    if "windows" in record.values:
        raise UserError(
            f"{record.folder}: a back-test, whose windows are runs of their own; give one of them, "
            f"e.g. {record.folder / 'window_0'}"
        )
    if not record.is_verified:
        _log.warning("%s: not verified: %s", record.folder, NOT_VERIFIED)
    stored = _config(record)
    refuse_changed(record.folder / CONFIG, stored)
    stored.verify = verify
    if (record.folder / KEPT).exists():
        record.check(KEPT, _CURE)  # read by the model
    for name in (KEPT_CODES, KEPT_VECTORS):
        if name in record.values.get("files", {}):
            record.check(name, _CURE)
    refit = bool(record.values.get("refit"))
    try:
        parts = Components(stored, restore)
        data = parts.prepare() if prepare else _prepared(record, stored)
        _refuse_other(record, data)
        parts.attach(data, record.folder, refit=refit)
        refuse_other_files(parts, record)
    except NoModule as error:
        raise UserError(_without_module(record, stored, error.module)) from error
    except OmegaConfBaseException as error:
        commit = (record.values.get("code") or {}).get("commit") or "not recorded"
        raise UserError(
            f"{record.folder}: its config has no '{error.full_key}', so it was made by another "
            f"version of the lab; restore it with that version (commit {commit})"
        ) from error
    if parts.is_fitted:
        with record.reading(FITTED, _CURE) as path, np.load(path, allow_pickle=False) as arrays:
            parts.model.load_arrays(dict(arrays), data.with_validation() if refit else data)
    else:
        with record.reading(record.weights, _CURE) as path:
            parts.model.load_state_dict(load_file(path))
        parts.model.to(torch.device(parts.device)).eval()
    return parts


def _without_module(record: RunRecord, stored: DictConfig, module: str) -> str:
    """The message for a missing module: the options that need it, and where it was searched."""
    options = ", ".join(
        f"{option} ({target})"
        for option, target in _targets(OmegaConf.to_container(stored))
        if target.rpartition(".")[0] == module
    )
    return (
        f"{record.folder}: there is no module {module!r}, which the run uses in {options}; it was "
        f"searched in the installed packages and the current folder, {Path.cwd()}; run the command "
        "in the folder of the module, or restore it"
    )


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each option whose value names a class, with the class."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, str(node["_target_"])
        for key, inner in node.items():
            yield from _targets(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _targets(inner, f"{path}[{index}]")


def _config(record: RunRecord) -> DictConfig:
    with record.reading(CONFIG, _CURE) as path:
        stored = OmegaConf.load(path)
        if not isinstance(stored, DictConfig):
            raise TypeError("a list instead of keys and values")
    config: DictConfig = OmegaConf.create(with_current_names(OmegaConf.to_container(stored)))
    return config


def _refuse_other(record: RunRecord, data: PreparedDataset) -> None:
    """Check that the dataset is that of the run."""
    noted = record.values["data"]
    if data.fingerprint != noted["fingerprint"]:
        msg = (
            f"{record.folder}: the run used data with fingerprint {noted['fingerprint']}, but "
            f"{data.path} has {data.fingerprint}; restore the original data"
        )
        raise UserError(msg)
    columns = noted.get("features_fingerprint", data.features_fingerprint)
    if data.features_fingerprint != columns:
        raise UserError(
            f"{record.folder}: the run used columns of items, users and events with fingerprint "
            f"{columns}, but {data.path} has {data.features_fingerprint}; restore the original data"
        )


def prepared_of(record: RunRecord, verify: Verify = "full") -> PreparedDataset:
    """The dataset of a run, at its recorded path, or relative to a moved project.

    Args:
        record: record of the run.
        verify: how it is checked.

    Raises:
        NotWhole: it is missing or damaged.
    """
    stored = record.values["config"]
    noted = Path(record.values["data"]["path"])
    moved = (
        base / stored["prepared_dir"] / noted.name  # named by its content
        for base in (Path.cwd(), *record.folder.resolve().parents)
    )
    folder = next((path for path in (noted, *moved) if path.is_dir()), noted)
    return PreparedDataset(folder, verify)


def _prepared(record: RunRecord, stored: DictConfig) -> PreparedDataset:
    try:
        return prepared_of(record, stored.verify)
    except NotWhole as error:
        raise UserError(
            f"{error.problem}: the run's prepared dataset. Restore it, or prepare it again in "
            f"{stored.prepared_dir}, from the source in {record.folder / CONFIG}: "
            f"{command_line('evaluate', str(record.folder), 'prepare=true')}"
        ) from error
