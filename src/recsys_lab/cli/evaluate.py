"""``recsys-lab evaluate RUN_DIR``: reproduce a run's test numbers from its record.

Under torchrun each process ranks a part of the users; the first one speaks for all.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors.torch import load_file

from recsys_lab.cli.output import output_folder
from recsys_lab.cli.prepare import prepare_from
from recsys_lab.comparison.collect import whole_record
from recsys_lab.config import UserError
from recsys_lab.data.prepared import NotWhole, PreparedDataset
from recsys_lab.experiment.agreement import agreement
from recsys_lab.experiment.components import Parts, assemble, result_table, slices_table
from recsys_lab.experiment.distributed import joined_processes, shard
from recsys_lab.experiment.resume import refuse_changed
from recsys_lab.experiment.test_results import Judgement, gather, judge
from recsys_lab.models.inputs.item_inputs import KEPT
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.off_policy import off_policy_table
from recsys_lab.runs.record import CONFIG, FITTED, NOT_VERIFIED, RunRecord

if TYPE_CHECKING:
    from recsys_lab.files.digests import Verify

_log = logging.getLogger(__name__)
_CURE = (
    ", so the run's numbers cannot be reproduced; bring the file back, or train again in another "
    "run_dir"
)


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Load the best weights, rank the test users, compare with the record."""
    del output_dir
    record = whole_record(Path(cfg.run))
    _check(record)
    folder = output_folder(cfg.output)
    with joined_processes():
        parts = restore(record, cfg.verify, prepare=cfg.prepare)
        gathered = gather(parts)
        if shard()[0] == 0:
            _tell(record, judge(parts, gathered), folder)


def _check(record: RunRecord) -> None:
    """The run has a test result."""
    if not record.done:
        status = record.values["status"]
        msg = (
            f"{record.folder}: the run's status is '{status}', so it has no test result; "
            f"finish it first: recsys-lab train resume={record.folder}"
        )
        raise UserError(msg)
    if "test" not in record.values:
        raise UserError(
            f"{record.folder}: a trial of a search, which never opens the test split; train its "
            "config as a run of its own, e.g. the sweep's best: experiment=best"
        )


def _tell(record: RunRecord, found: Judgement, folder: Path | None) -> None:
    """Print the numbers, write them if told to, and compare them with the record."""
    console = Terminal()
    columns = {record.values["name"]: found.means}
    console.print(result_table(columns, record.folder.name, found.intervals))
    if found.off_policy is not None:
        console.print(off_policy_table(found.off_policy))
    console.print(slices_table(found.slices, record.main_metric))
    if folder is not None:
        found.write(folder)
        console.print(f"written: {folder}", soft_wrap=True, highlight=False)
    console.print(agreement(record, found), soft_wrap=True, highlight=False)


def restore(record: RunRecord, verify: Verify = "full", *, prepare: bool = False) -> Parts:
    """The data, protocol and trained model of a finished run.

    Args:
        record: of the run.
        verify: how the prepared dataset is checked; the run's own files always are in full.
        prepare: whether its source may be read and the dataset written again, wherever the run's
            config says; else nothing but the dataset that is there is read.

    Raises:
        UserError: the data has changed since, or a file of the run is gone or damaged.
    """
    if not record.is_verified:
        _log.warning("%s: not verified: %s", record.folder, NOT_VERIFIED)
    stored = _config(record)
    refuse_changed(record.folder / CONFIG, stored)
    stored.verify = verify
    if (record.folder / KEPT).exists():
        record.check(KEPT, _CURE)  # the model reads of it
    try:
        parts = assemble(
            stored, lambda cfg: _data(record, cfg, prepare), record.folder,
            refit=bool(record.values.get("refit")),
        )  # fmt: skip
    except OmegaConfBaseException as error:
        commit = (record.values.get("code") or {}).get("commit") or "not recorded"
        raise UserError(
            f"{record.folder}: made by another version of the lab, whose config has no "
            f"'{error.full_key}'; restore it with that version (commit {commit})"
        ) from error
    if parts.is_fitted:
        with record.reading(FITTED, _CURE) as path, np.load(path, allow_pickle=False) as arrays:
            refit = bool(record.values.get("refit"))
            data = parts.data.with_validation() if refit else parts.data
            parts.model.load_arrays(dict(arrays), data)
    else:
        with record.reading(record.weights, _CURE) as path:
            parts.model.load_state_dict(load_file(path))
        parts.model.to(torch.device(parts.device)).eval()
    return parts


def _config(record: RunRecord) -> DictConfig:
    with record.reading(CONFIG, _CURE) as path:
        stored = OmegaConf.load(path)
        if not isinstance(stored, DictConfig):
            raise TypeError("a list in place of keys and values")
    return stored


def _data(record: RunRecord, stored: DictConfig, prepare: bool) -> PreparedDataset:
    """The dataset that the run saw."""
    noted = record.values["data"]
    data = prepare_from(stored) if prepare else _prepared(record, stored)
    if data.fingerprint != noted["fingerprint"]:
        msg = (
            f"{record.folder}: the run saw data with fingerprint {noted['fingerprint']}, but "
            f"{data.path} has {data.fingerprint}; bring back the original data"
        )
        raise UserError(msg)
    columns = noted.get("features_fingerprint", data.features_fingerprint)
    if data.features_fingerprint != columns:
        raise UserError(
            f"{record.folder}: the run saw columns of items, users and events with fingerprint "
            f"{columns}, but {data.path} has {data.features_fingerprint}; bring back the original "
            "data"
        )
    return data


def prepared_of(record: RunRecord, verify: Verify = "full") -> PreparedDataset:
    """The dataset of a run, where it was, or where a moved project has it.

    Args:
        record: of the run.
        verify: how it is checked.

    Raises:
        NotWhole: it is not there, or damaged.
    """
    stored = record.values["config"]
    noted = Path(record.values["data"]["path"])
    moved = (
        base / stored["prepared_dir"] / noted.name  # named by its content
        for base in (Path.cwd(), *record.folder.resolve().parents)
    )
    folder = next((place for place in (noted, *moved) if place.is_dir()), noted)
    return PreparedDataset(folder, verify)


def _prepared(record: RunRecord, stored: DictConfig) -> PreparedDataset:
    try:
        return prepared_of(record, stored.verify)
    except NotWhole as error:
        raise UserError(
            f"{error.problem}: the run's prepared dataset. Bring it back, or give prepare=true: it "
            f"is made again in {stored.prepared_dir}, from the source in {record.folder / CONFIG}"
        ) from error
