"""The file of a run that has its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.runs.record import FITTED

if TYPE_CHECKING:
    from recsys_lab.runs.record import RunRecord


def weights_of(record: RunRecord) -> tuple[str, str | None]:
    """The file with the weights, or the arrays of a fitted model, and its SHA-256.

    The hash is None for a run of a version that noted none.
    """
    noted = record.values.get("files", {})
    name = FITTED if FITTED in noted or (record.folder / FITTED).exists() else record.weights
    digest = noted.get(name, {}).get("sha256")
    return name, None if digest is None else str(digest)
