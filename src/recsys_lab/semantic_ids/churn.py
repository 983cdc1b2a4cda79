"""What changed between two sets of codes.

Shapes: V items in both, L levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.files.locks import hold
from recsys_lab.semantic_ids.artefact import CODES, Artefact, opened, read_table, store_manifest
from recsys_lab.semantic_ids.duplicates import tuples

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def churn(folder: Path, earlier: Path) -> tuple[str, dict[str, Any]]:
    """The fingerprint of the earlier codes, and how those of a folder differ.

    Args:
        folder: of an artefact.
        earlier: likewise, or a file of codes.

    Raises:
        UserError: there are no codes in ``earlier``, or of no item of these.
    """
    file = earlier / CODES if earlier.is_dir() else earlier
    if not file.is_file():
        raise UserError(
            f"compare_with={earlier}: no semantic IDs there ({CODES} is missing); give a folder "
            "that recsys-lab tokenize made"
        )
    old, noted = read_table(file, "; give another folder")
    new, _ = read_table(folder / CODES, "")
    if old.schema["item_id"] != new.schema["item_id"]:
        shared = new.clear()
    else:
        shared = new.join(old, on="item_id", how="inner", suffix="_old")
    if not len(shared):
        raise UserError(
            f"compare_with={earlier}: none of its {len(old):,} items is in this catalogue, such as "
            f"{old['item_id'][0]!r}; give codes of the same shop"
        )
    ours, theirs = _codes(new), _codes(old)
    both = min(len(ours), len(theirs))
    a_VL = shared.select(ours[:both]).to_numpy()
    b_VL = shared.select([f"{name}_old" for name in theirs[:both]]).to_numpy()
    levels = []
    for length in range(1, both + 1):
        a, b = a_VL[:, :length], b_VL[:, :length]
        equal = float((a == b).all(1).mean())
        levels.append({"equal": equal, "adjusted_rand": adjusted_rand(tuples(a), tuples(b))})
    return noted["fingerprint"], {
        "name": file.parent.name,
        "items": len(shared),
        "new": len(new) - len(shared),
        "gone": len(old) - len(shared),
        "levels": levels,
    }


def note_churn(artefact: Artefact, earlier: Path) -> Artefact:
    """The same artefact with what changed since earlier codes in its manifest and on its card."""
    fingerprint, found = churn(artefact.folder, earlier)
    folder = artefact.folder
    with hold(folder.parent / f".{folder.name}.lock", wait=True):
        manifest = opened(folder, "sizes").manifest
        noted = {**manifest.get("churn", {}), fingerprint: found}
        store_manifest(folder, {**manifest, "churn": noted})
    return opened(folder, "sizes")


def _codes(table: pl.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("code_")]


def adjusted_rand(a: Ints, b: Ints) -> float:
    """Agreement of two groupings, 1 if equal, 0 by chance (Hubert and Arabie, 1985, eq. 5)."""

    def pairs(counts: Ints) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both = pairs(np.unique(np.stack([a, b]), axis=1, return_counts=True)[1])
    first, second = (pairs(np.unique(x, return_counts=True)[1]) for x in (a, b))
    expected = first * second / max(pairs(np.array([len(a)])), 1)
    most = (first + second) / 2
    return (both - expected) / (most - expected) if most != expected else 1.0
