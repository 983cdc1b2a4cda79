"""Context of an event: embeddings of its user's columns, its own columns and its time.

Shapes: T events, B users, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.models.inputs.item_features import INITIAL_STD, standard_score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.contracts import Batch, TrainingData

_HOUR, _DAY = 3600, 86400
_GAP_BUCKETS = 32  # each bucket covers twice the seconds: 2**31 are 68 years
TIMES = {"time.hour": 24, "time.weekday": 7, "time.gap": _GAP_BUCKETS}


class Context(nn.Module):
    """The sum of the embeddings of user, event and time columns.

    The columns belong to the event that is read, never to the event that is predicted.

    Args:
        names: ``user.COLUMN``, ``event.COLUMN`` or one of `TIMES`.
        data: the dataset that has the columns.
        dim: D.

    Attributes:
        columns: columns that must be in `Batch.features`.
        reads_times: whether one of the names is a time.

    Raises:
        UserError: a name is not valid or not in the dataset, or is a time and the data have no
            timestamps.
    """

    def __init__(self, names: list[str], data: TrainingData, dim: int) -> None:
        super().__init__()
        self.columns = tuple(name for name in names if name not in TIMES)
        self.reads_times = any(name in TIMES for name in names)
        self.tables = nn.ModuleDict()
        self.scores: dict[str, Mapping[str, Any]] = {}
        for name in names:
            key = name.replace(".", "_", 1)  # a module's name may not contain a dot
            if name in TIMES:
                if data.timestamps is None:
                    raise UserError(
                        f"inputs.context: got '{name}', but the data have no timestamps; name "
                        "their column: data.timestamp_column"
                    )
                self.tables[key] = nn.Embedding(TIMES[name], dim)
            elif not name.startswith(("user.", "event.")):
                raise UserError(
                    f"inputs.context: got '{name}'{did_you_mean(name, list(TIMES))} Use "
                    f"user.COLUMN, event.COLUMN, {', '.join(TIMES)}; item columns belong to "
                    "inputs.features"
                )
            else:
                self.tables[key] = self._table(name, data.features.entry(name), dim)
            nn.init.normal_(self.tables[key].weight, std=INITIAL_STD)  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> Tensor:
        """The vector of each event, (T, D)."""
        lengths_B = batch.offsets.diff()
        embedded = []
        for key, table in self.tables.items():
            name = key.replace("_", ".", 1)
            if name in TIMES:
                embedded.append(table(_time_codes(name, batch)))
                continue
            column: Any = batch.features[name]
            if name in self.scores:
                column = standard_score(column, self.scores[name])
            vectors = table(column)
            if name.startswith("user."):
                vectors = vectors.repeat_interleave(
                    lengths_B, dim=0, output_size=batch.items_T.shape[0]
                )
            embedded.append(vectors)
        return torch.stack(embedded).sum(0)

    def _table(self, name: str, entry: Any, dim: int) -> nn.Module:
        if entry["type"] == "numeric":
            self.scores[name] = entry
            return nn.Linear(2, dim, bias=False)
        if entry["type"] == "categorical":
            return nn.Embedding(entry["cardinality"], dim)
        raise UserError(
            f"inputs.context: '{name}' is of type {entry['type']}, expected a categorical or "
            "numeric column of users or events"
        )


def _time_codes(name: str, batch: Batch) -> Tensor:
    """Hour of the day or day of the week (UTC), or log2 of the seconds since the event before."""
    times_T = batch.timestamps_T
    assert times_T is not None  # checked before
    if name == "time.hour":
        return times_T // _HOUR % 24
    if name == "time.weekday":
        return (times_T // _DAY + 3) % 7  # the epoch began on a Thursday; 0 is Monday
    gaps_T = times_T - times_T.roll(1)
    gaps_T[batch.offsets[:-1]] = 0  # the first event of each history
    return (gaps_T.clamp(min=0) + 1).double().log2().long().clamp(max=_GAP_BUCKETS - 1)
