"""Semantic IDs on disk: a folder that is made once, and known again by what it is made from.

- ``codes.parquet``: raw item id, a code for each level, whether the item has training events.
- ``vectors.npy``: what was quantised, float32 (V, E), if anything.
- ``manifest.json``: settings, origin, diagnostics, digests of the other two.
- ``card.html``: the same for people.

Shapes: V items, L levels, E width of the vectors.
"""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import SemanticIds
from recsys_lab.files.arrays import save_npy
from recsys_lab.files.atomic import sync, sync_tree, write_text
from recsys_lab.files.digests import SEAL, content_hash, damage, digests, seal
from recsys_lab.files.locks import hold
from recsys_lab.files.reading import read_parquet, reading
from recsys_lab.files.scratch import make_scratch
from recsys_lab.pages.number_format import number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from recsys_lab.config.commands import Verify
    from recsys_lab.data.prepared import PreparedDataset

CODES, VECTORS, MANIFEST, CARD = "codes.parquet", "vectors.npy", "manifest.json", "card.html"
SCHEMA_VERSION = 1
"""Raised when the files change their meaning; older codes are then made again."""
_METADATA = b"recsys_lab"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artefact:
    """Codes on disk.

    Attributes:
        folder: where.
        manifest: the content of ``manifest.json``.
    """

    folder: Path
    manifest: Mapping[str, Any]

    def ids(self, data: PreparedDataset, *, vectors: bool) -> SemanticIds:
        """The codes, and the vectors if asked for."""
        cure = "; delete its folder: it is made again"
        return read_ids(self.folder / CODES, self.folder / VECTORS if vectors else None, data, cure)


def found_or_made(
    root: Path,
    name: str,
    origin: Mapping[str, Any],
    make: Callable[[Path], Mapping[str, Any]],
    verify: Verify = "full",
) -> Artefact:
    """The codes made from something; made if they do not exist, by one process while others wait.

    Args:
        root: folder of all artefacts.
        name: of the codes, in the folder's name.
        origin: all that determines the codes, JSON values.
        make: writes `CODES` and, if it quantises any, `VECTORS` into a folder; returns the rest of
            the manifest.
        verify: how existing files are checked; damaged ones are made again.
    """
    key = content_hash({"schema": SCHEMA_VERSION, **origin})
    folder = root / f"{name}-{key[:12]}"
    root.mkdir(parents=True, exist_ok=True)
    found = _whole(folder, verify)
    if found is None:
        with hold(root / f".{folder.name}.lock", wait=True):
            found = _whole(folder, verify)  # another process may have made them meanwhile
            if found is None:
                return _made(folder, {"name": name, "origin": origin}, make)
    _log.info("Reusing the semantic IDs %s", folder)
    return found


def _whole(folder: Path, verify: Verify) -> Artefact | None:
    """The artefact, unless it does not exist or is damaged, of which a warning tells."""
    if not folder.exists():
        return None
    try:
        return opened(folder, verify)
    except UserError as error:
        _log.warning("Making the semantic IDs again: %s", error)
        return None


def opened(folder: Path, verify: Verify = "full") -> Artefact:
    """The artefact of a folder.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    file = folder / MANIFEST
    with reading(file, ""):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    if version != SCHEMA_VERSION:
        raise UserError(f"{file}: schema version {version}; this version reads {SCHEMA_VERSION}")
    if manifest.get(SEAL) != seal(manifest):
        raise UserError(f"{file} is damaged: its content does not match its own '{SEAL}'")
    problem = damage(folder, manifest["files"], verify)
    if problem:
        raise UserError(problem)
    return Artefact(folder, manifest)


def _made(
    folder: Path, begin: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]]
) -> Artefact:
    with ExitStack() as until:
        place = make_scratch(folder.parent, f".{folder.name}-", until)
        scratch = place / "made"
        scratch.mkdir()
        rest = make(scratch)
        files = [name for name in (CODES, VECTORS) if (scratch / name).exists()]
        store_manifest(
            scratch,
            {"schema_version": SCHEMA_VERSION, **begin, **rest, "files": digests(scratch, files)},
        )
        sync_tree(scratch)
        if folder.exists():
            folder.rename(place / "broken")  # removed together with the scratch
        scratch.rename(folder)
        sync(folder.parent)
    made = opened(folder, "sizes")
    _log.info("Made the semantic IDs %s", folder)
    return made


def store_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest and card, each atomically."""
    from recsys_lab.semantic_ids.card import card

    sealed = {**manifest, SEAL: seal(manifest)}
    write_text(folder / MANIFEST, json.dumps(sealed, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / CARD, card(sealed))


def write_ids(folder: Path, ids: SemanticIds, data: PreparedDataset) -> None:
    """Write `CODES`, and `VECTORS` if there are any."""
    codes_VL = ids.codes_VL.numpy()
    table = pl.DataFrame(
        {
            "item_id": data.item_ids(),
            **{f"code_{level}": codes_VL[:, level] for level in range(codes_VL.shape[1])},
            "has_training_events": data.training_item_counts() > 0,
        }
    ).to_arrow()
    noted = {"num_codes": ids.num_codes, "fingerprint": ids.fingerprint}
    table = table.replace_schema_metadata({_METADATA: json.dumps(noted).encode()})
    pq.write_table(table, folder / CODES)
    if ids.vectors_VE is not None:
        save_npy(folder / VECTORS, ids.vectors_VE)


def read_ids(codes: Path, vectors: Path | None, data: PreparedDataset, cure: str) -> SemanticIds:
    """The codes of a dataset's items from their files.

    Args:
        codes: as written by `write_ids`.
        vectors: likewise; None, or a file that does not exist: no vectors.
        data: the prepared dataset.
        cure: what to do if a file cannot be read.

    Raises:
        UserError: a file is missing or damaged, or has the codes of other items.
    """
    table, noted = read_table(codes, cure)
    _refuse_other_items(codes, table["item_id"].to_list(), data)
    columns = [name for name in table.columns if name.startswith("code_")]
    vectors_VE: NDArray[np.float32] | None = None
    if vectors is not None and vectors.exists():
        with reading(vectors, cure):
            vectors_VE = np.load(vectors, allow_pickle=False)
    return SemanticIds(
        torch.from_numpy(table.select(columns).to_numpy().astype(np.int64, order="C")),
        tuple(noted["num_codes"]),
        vectors_VE,
        noted["fingerprint"],
        codes.parent,
    )


def read_table(codes: Path, cure: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The table of codes, and what was noted with it: ``num_codes`` and ``fingerprint``."""
    table = read_parquet(codes, cure)
    with reading(codes, cure):
        noted: dict[str, Any] = json.loads(pq.read_schema(codes).metadata[_METADATA])
    return table, noted


def _refuse_other_items(file: Path, item_ids: list[Any], data: PreparedDataset) -> None:
    ours = data.item_ids()
    if item_ids == ours:
        return
    known = set(item_ids)
    lacking = [item for item in ours if item not in known]
    example = f", such as {lacking[0]!r}" if lacking else ""
    raise UserError(
        f"{file}: the codes are of another catalogue: it has {number(len(item_ids))} items, the "
        f"dataset {data.path} has {number(len(ours))}, and {number(len(lacking))} of these have no "
        f"codes{example}; use the codes of this dataset"
    )
