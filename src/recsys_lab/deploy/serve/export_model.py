"""An exported folder as a served model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.deploy.serve.queries import BadQuery, Query
from recsys_lab.deploy.serve.ranked_model import Needs, RankedModel

if TYPE_CHECKING:
    from recsys_lab.deploy.export.exported import ExportedModel


class ExportModel(RankedModel):
    """Answers queries with the lists of an export.

    Args:
        exported: the export.
    """

    def __init__(self, exported: ExportedModel) -> None:
        manifest = exported.manifest
        super().__init__(
            exported.read,
            exported.index_lists,
            exported.list_length,
            name=manifest["model"],
            needs=Needs({}, bool(manifest["reads_times"])),
            items=exported.items,
            num_users=manifest["num_users"],
        )
        self._k = exported.k

    def check(self, query: Query) -> None:
        """See `ServedModel.check`."""
        if query.kind == "users":
            raise BadQuery(
                "users: an export has no histories of users; send histories, or serve the run"
            )
        if query.k > self._k < len(self._ids):
            raise BadQuery(f"k: got {query.k}, but the export has lists of {self._k}")
        super().check(query)

    def warm_up(self, rows: int) -> None:
        """See `ServedModel.warm_up`; with histories of one item."""
        event = {"item_id": str(self._ids[0]), "timestamp": 0}
        self.answer(Query("events", [[event]] * rows, k=1, exclude_seen=True))
