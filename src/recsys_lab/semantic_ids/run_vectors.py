"""Item vectors of a finished run, as what semantic IDs are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.config.commands import Verify
from recsys_lab.contracts import ScoresByProduct
from recsys_lab.runs.failure import refuse_unfinished
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import FITTED, WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.runs.record import RunRecord

Restore = Callable[["RunRecord", Verify], Any]
"""`recsys_lab.experiment.restore.restore`, which restores codes, too: so it is an argument here."""


@dataclass(frozen=True)
class RunVectors:
    """Item vectors of a finished run on the same data."""

    record: RunRecord
    option: str
    data: PreparedDataset
    restore: Restore

    @classmethod
    def of(cls, data: PreparedDataset, restore: Restore, folder: Path, option: str) -> RunVectors:
        """Of a folder.

        Raises:
            UserError: there is no finished run, or one of other data.
        """
        record = whole_record(folder)
        where = f"{option}={folder}"
        refuse_unfinished(record, "no vectors", where)
        noted = record.values["data"]["fingerprint"]
        if noted != data.fingerprint:
            raise UserError(
                f"{where}: the run is of other data: its fingerprint is {noted}, that of the "
                f"dataset {data.fingerprint}; use a run with the same data, filter and split"
            )
        if record.values.get("refit"):
            raise UserError(
                f"{where}: the run was refit on the events of validation, which the codes must not "
                "know; use a run with recipe.refit=false"
            )
        return cls(record, option, data, restore)

    @property
    def digest(self) -> str:
        """Of the run's weights."""
        files = self.record.values.get("files", {})
        found = next((files[name] for name in (WEIGHTS, FITTED) if name in files), None)
        return str(found["sha256"]) if found else str(self.record.values.get("digest"))

    def read(self) -> NDArray[np.float32]:
        """The item table; items without training events have a vector if the run gives them one."""
        parts = self.restore(self.record, "sizes")
        if not isinstance(parts.model, ScoresByProduct):
            raise UserError(
                f"{self.option}={self.record.folder}: {parts.model_name} has no item vectors; use "
                "a run of a model that scores items by their vectors, such as sasrec"
            )
        with torch.no_grad():
            table_VD: NDArray[np.float32] = parts.model.item_table().float().cpu().numpy().copy()
        if parts.knows_ids_alone:
            table_VD[self.data.training_item_counts() == 0] = np.nan
        return table_VD
