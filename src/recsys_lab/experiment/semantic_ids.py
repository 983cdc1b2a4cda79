"""The semantic IDs of a run: made from its data, or read from its folder."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError, build
from recsys_lab.config.targets import import_class
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.sources import source_digest
from recsys_lab.semantic_ids.artefact import (
    CODES,
    VECTORS,
    Artefact,
    found_or_made,
    opened,
    read_ids,
    read_table,
    write_ids,
)
from recsys_lab.semantic_ids.base import (
    Codes,
    Items,
    Quantiser,
    VectorQuantiser,
    semantic_ids,
)
from recsys_lab.semantic_ids.diagnostics import diagnose, refuse_collapsed, summary
from recsys_lab.semantic_ids.duplicates import deduplicated
from recsys_lab.semantic_ids.kept import Kept
from recsys_lab.semantic_ids.run_vectors import Restore, RunVectors
from recsys_lab.semantic_ids.sources import Source, source
from recsys_lab.semantic_ids.vectors import item_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from recsys_lab.contracts import SemanticIds
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.runs.record import RunRecord

KEPT_CODES, KEPT_VECTORS = "semantic_ids.parquet", "semantic_ids_vectors.npy"
"""Files of the codes and of the quantised vectors in a run's folder."""
_CURE = "; restore the file, or train again in another run_dir"
SOURCES = ("vectors", "features", "text", "encoder", "cache_dir")
"""Options that are known from the digests of the vectors: copies of a file are equal."""
_log = logging.getLogger(__name__)


def semantic_ids_of(
    cfg: DictConfig,
    data: PreparedDataset,
    restore: Restore,
    run: Path | None = None,
    *,
    vectors: bool = False,
) -> SemanticIds:
    """The codes of all items.

    Args:
        cfg: the whole config.
        data: the prepared dataset; codes are learned from its training part.
        restore: restores a run whose vectors are quantised.
        run: folder of the finished run to restore, whose codes are used; None: made if they do not
            exist.
        vectors: whether the quantised vectors are needed, too.
    """
    if run is not None and (run / KEPT_CODES).exists():
        return read_ids(run / KEPT_CODES, run / KEPT_VECTORS if vectors else None, data, _CURE)
    return tokenize(cfg, data, restore).ids(data, vectors=vectors)


def keep_codes(ids: SemanticIds | None, record: RunRecord) -> None:
    """Copy the codes of a run into its folder, and note their files and summary."""
    if ids is None or ids.folder is None:
        return
    names = {CODES: KEPT_CODES}
    if ids.vectors_VE is not None:
        names[VECTORS] = KEPT_VECTORS
    for name, kept in names.items():
        replace_atomically(record.folder / kept, partial(shutil.copyfile, ids.folder / name))
    record.note_files(*names.values(), semantic_ids=note_of(ids))


def note_of(ids: SemanticIds) -> dict[str, Any]:
    """What the record of a run says of its codes."""
    assert ids.folder is not None
    manifest = dict(opened(ids.folder, "sizes").manifest)
    return {**summary(manifest), "path": str(ids.folder.resolve())}


def tokenize(cfg: DictConfig, data: PreparedDataset, restore: Restore) -> Artefact:
    """The codes of a config on disk, below ``prepared_dir``; made if they do not exist.

    Args:
        cfg: the whole config.
        data: the prepared dataset.
        restore: see `semantic_ids_of`.

    Raises:
        UserError: the vectors or the data do not suit the quantiser.
    """
    quantiser: Quantiser = build(cfg.semantic_ids)
    # Not on the meta device, where a model is built to estimate its memory.
    with torch.device("cpu"), torch.random.fork_rng():
        sources, aligned = _sources(quantiser, data, restore)
        work = _Work(quantiser, data, sources, aligned, _kept(quantiser, data))
        root = Path(cfg.prepared_dir) / "semantic_ids"
        return found_or_made(root, quantiser.name, work.origin(), work.make, cfg.verify)


def _sources(
    quantiser: Quantiser, data: PreparedDataset, restore: Restore
) -> tuple[dict[str, Source], Source | None]:
    """The vectors to quantise by name, and those to align with."""
    if not isinstance(quantiser, VectorQuantiser):
        return {}, None
    config = quantiser.config
    names = [config.vectors] if isinstance(config.vectors, str) else config.vectors
    of_run = partial(RunVectors.of, data, restore)
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if not names or twice:
        what = f"names '{twice[0]}' twice" if twice else "names nothing"
        raise UserError(f"semantic_ids.vectors: {what}; name each source of vectors once")
    sources = {name: source(name, config, data, of_run) for name in names}
    if quantiser.align_with is None:
        return sources, None
    option = "semantic_ids.align_with"
    return sources, source(quantiser.align_with, config, data, of_run, option)


def _kept(quantiser: Quantiser, data: PreparedDataset) -> Kept | None:
    """The codes that items keep from the run of ``semantic_ids.keep``, if any."""
    run = quantiser.config.keep
    if run is None:
        return None
    record = whole_record(Path(run))
    if KEPT_CODES not in record.values.get("files", {}):
        raise UserError(
            f"semantic_ids.keep={run}: the run has no semantic IDs; give a finished run of a model "
            "that generates them, or null"
        )
    theirs, ours = record.values["config"]["semantic_ids"], asdict(quantiser.config)
    free = (*SOURCES, "align_with", "keep")
    other = [key for key in ours if key not in free and theirs.get(key) != ours[key]]
    if import_class(theirs["_target_"]) is not type(quantiser) or other:
        raise UserError(
            f"semantic_ids.keep={run}: the run's codes were made with another quantiser or other "
            f"options ({', '.join(other) or theirs['_target_']}); use the same, or keep=null"
        )
    with record.reading(KEPT_CODES, _CURE) as path:
        return Kept.of(run, *read_table(path, _CURE), data.item_ids())


@dataclass(frozen=True)
class _Work:
    """What codes are made from."""

    quantiser: Quantiser
    data: PreparedDataset
    sources: Mapping[str, Source]
    aligned: Source | None
    kept: Kept | None

    def settings(self) -> dict[str, Any]:
        """The options; older codes were made without ``keep``, so null is left out."""
        return {k: v for k, v in asdict(self.quantiser.config).items() if (k, v) != ("keep", None)}

    def origin(self) -> dict[str, Any]:
        """All that determines the codes."""
        quantiser, data = self.quantiser, self.data
        module = type(quantiser).__module__
        train = np.ascontiguousarray(data.segments("train"), dtype="<i8")
        shared = ("vectors", "duplicates")
        code = [module, *(f"recsys_lab.semantic_ids.{name}" for name in shared)]
        settings = self.settings()
        settings.pop("keep", None)
        kept = {} if self.kept is None else {"kept": self.kept.fingerprint}
        if isinstance(quantiser, VectorQuantiser):
            left_out = (*SOURCES, *(["align_with"] if self.aligned else []))
            settings = {key: value for key, value in settings.items() if key not in left_out}
        return {
            "class": f"{module}.{type(quantiser).__name__}",
            "settings": settings,
            "data": data.fingerprint,
            "features": data.features_fingerprint,
            "training_part": hashlib.sha256(train.data).hexdigest(),
            "vectors": [source.digest for source in self.sources.values()],
            "aligned": None if self.aligned is None else self.aligned.digest,
            "code": [source_digest(name, {}) for name in code],
            **kept,
        }

    def make(self, folder: Path) -> dict[str, Any]:
        """Write the codes; returns the rest of the manifest."""
        started, data, quantiser = time.monotonic(), self.data, self.quantiser
        counts_V = data.training_item_counts()
        is_known_V, vectors_VE = counts_V > 0, None
        without: dict[str, int] = {}
        if isinstance(quantiser, VectorQuantiser):
            torch.manual_seed(quantiser.config.seed)
            vectors_VE, without = item_vectors(quantiser.config, self.sources, data, is_known_V)
        aligned_VF = None if self.aligned is None else self.aligned.read()
        items = Items(data, is_known_V, vectors_VE, aligned_VF)
        both = None if self.kept is None else self.kept.extend(quantiser, items)
        note = {} if self.kept is None else self.kept.note(kept=both is not None)
        before, codes = both or self._anew(items, counts_V)
        ids = semantic_ids(codes, vectors_VE)
        write_ids(folder, ids, data)
        return {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": ids.fingerprint,
            "num_codes": list(ids.num_codes),
            "settings": self.settings(),
            "data": {"name": data.manifest["name"], "fingerprint": data.fingerprint},
            "items_without_vector": without,
            "diagnostics": diagnose(codes, before, data, vectors_VE),
            "seconds": round(time.monotonic() - started, 3),
            **note,
        }

    def _anew(self, items: Items, counts_V: NDArray[np.int64]) -> tuple[Codes, Codes]:
        """New codes of all items, without and with the level that tells duplicates apart."""
        codes, most = self.quantiser.quantise(items), self.quantiser.config.deduplicate
        if not isinstance(codes, Codes):
            raise UserError(
                f"semantic_ids: {type(self.quantiser).__name__}.quantise returned a "
                f"{type(codes).__name__}, expected recsys_lab.semantic_ids.base.Codes"
            )
        refuse_collapsed(codes, items.vectors_VE, items.is_known_V)
        if most is None:
            return codes, codes
        return codes, deduplicated(codes, most, counts_V, self.data.item_ids())
