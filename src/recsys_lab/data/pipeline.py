"""Raw log -> prepared dataset: filter, order, remap, split, hash; the same for every source."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from recsys_lab.config import UserError
from recsys_lab.data.events import TIE_RULE, order_events
from recsys_lab.data.manifest import (
    SCHEMA_VERSION,
    content_hash,
    file_sizes,
    fingerprint,
    read_manifest,
    reader_settings,
)
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.data.split import repeated_target_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.filters import Filters
    from recsys_lab.data.raw import RawData, Reader
    from recsys_lab.data.split import LeaveOneOut, Segments

log = logging.getLogger(__name__)


def prepare(
    reader: Reader, filters: Filters, split: LeaveOneOut, root: Path, name: str
) -> PreparedDataset:
    """The prepared dataset of a source; made when it is not there yet.

    The folder is ``root/name-<key>``, where the key covers the schema version, the source's
    content and every setting. It appears whole or not at all, also when several processes
    prepare at once.

    Args:
        reader: the source.
        filters: which events stay.
        split: which events are targets.
        root: where prepared datasets live; made when absent.
        name: the dataset's name in the folder's name.

    Raises:
        UserError: for anything wrong with the source.
    """
    source = {
        "reader": type(reader).__name__,
        "config": reader_settings(reader),
        "key": reader.source_key(),
    }
    settings = {
        "filter": asdict(filters.config),
        "split": split.settings(),
    }
    key = content_hash({"schema": SCHEMA_VERSION, "source": source, **settings})
    folder = Path(root) / f"{name}-{key[:12]}"
    if folder.exists():
        manifest, problem = read_manifest(folder)
        if manifest is not None:
            log.info("Reusing the prepared dataset %s", folder)
            return PreparedDataset(folder)
        log.warning("Preparing %s again: %s", folder, problem)

    _make_folder(Path(root))
    _sweep(folder)
    scratch = _unique(folder)
    scratch.mkdir()
    try:
        manifest = _write(scratch, reader.read_raw(), filters, split, settings)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "source": source,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **manifest,
            "files": file_sizes(scratch),
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (scratch / "manifest.json").write_text(text + "\n", encoding="utf-8")
        _publish(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _report(manifest, folder)
    return PreparedDataset(folder)


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"prepared_dir={root}: cannot make this folder ({error.strerror}); choose another"
        ) from error


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed left of this dataset a day ago or earlier."""
    for scratch in folder.parent.glob(f".{folder.name}-*"):
        with contextlib.suppress(FileNotFoundError):  # its owner has just finished
            if time.time() - scratch.stat().st_mtime > 86_400:
                shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, folder: Path) -> None:
    """Give the finished folder its name in one step."""
    if folder.exists() and read_manifest(folder)[0] is None:
        broken = _unique(folder)
        folder.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
    try:
        scratch.rename(folder)
    except OSError:
        # Another process was first; what it made has the same key and so the same content.
        if read_manifest(folder)[0] is None:
            raise


def _unique(folder: Path) -> Path:
    """A hidden name beside the folder that no other process uses."""
    return folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")


def _write(
    folder: Path, raw: RawData, filters: Filters, split: LeaveOneOut, settings: dict[str, Any]
) -> dict[str, Any]:
    """Write all files but the manifest and return what the manifest says of them."""
    events = order_events(raw, filters)
    users = events.column("user")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users))]).astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {"items": events.column("item"), "offsets": offsets}
    if "timestamp" in events.frame.columns:
        arrays["timestamps"] = events.column("timestamp")
    phases = split.segments(offsets)
    _refuse_unusable(offsets, phases, split)

    parts = {"train": phases.train, "validation": phases.validation, "test": phases.test}
    for label, array in {**arrays, **parts}.items():
        np.save(folder / f"{label}.npy", array)
    events.frame.write_parquet(folder / "interactions.parquet")
    engine = events.frame.implementation
    _describe(events.item_ids, "item", raw.items, engine).write_parquet(folder / "items.parquet")
    _describe(events.user_ids, "user", raw.users, engine).write_parquet(folder / "users.parquet")
    if raw.truth_path is not None:
        shutil.copyfile(raw.truth_path, folder / "truth.npz")

    rules = {"tie_rule": TIE_RULE, **settings}
    items = arrays["items"]
    return {
        "num_users": len(offsets) - 1,
        "num_items": len(events.item_ids),
        "num_interactions": len(items),
        "has_timestamps": "timestamps" in arrays,
        "tie_rule": TIE_RULE,
        "settings": settings,
        "counts": events.counts,
        "split": {
            **split.settings(),
            **{f"{label}_rows": len(part) for label, part in parts.items()},
            "users_without_targets": len(offsets) - 1 - len(phases.test),
        },
        "repeated_target_share": {
            "validation": repeated_target_share(items, phases.validation),
            "test": repeated_target_share(items, phases.test),
        },
        "fingerprint": fingerprint(
            list(arrays.values()), [events.user_ids, events.item_ids], rules
        ),
    }


def _refuse_unusable(offsets: NDArray[np.int64], phases: Segments, split: LeaveOneOut) -> None:
    lengths = np.diff(offsets)
    if len(lengths) == 1:
        raise UserError(
            f"only one user is left, with {lengths[0]} events: a recommender needs several. "
            "Check data.user_column and the filter settings"
        )
    if not len(phases.test):
        raise UserError(
            f"none of the {len(lengths)} users has {split.min_events} or more events (the most "
            f"is {lengths.max()}), so there is nothing to validate or test on. Check "
            "data.user_column, or use a longer log"
        )


def _describe(ids: Any, kind: str, table: Any, engine: Any) -> nw.DataFrame[Any]:
    """One row a code: ``kind`` (the code), ``kind_id``, and the source's other columns."""
    key = f"{kind}_id"
    codes = pa.array(np.arange(len(ids), dtype=np.int32))
    frame = nw.from_arrow(pa.table({kind: codes, key: ids}), backend=engine)
    if table is None:
        return frame
    known: nw.DataFrame[Any] = nw.from_native(table, eager_only=True)
    known = known.rename({kind: f"{kind}_raw"}) if kind in known.columns else known
    known = known.filter(~nw.col(key).is_null()).unique(key, keep="first", maintain_order=True)
    if frame.schema[key] == nw.String or known.schema[key] == nw.String:
        on = nw.col(key).cast(nw.String)  # the log's ids may be text where the table's are numbers
    else:
        on = nw.col(key).cast(nw.Int64)
    known = known.with_columns(on.alias("_on")).drop(key)
    return (
        frame.with_columns(on.alias("_on")).join(known, on="_on", how="left").drop("_on").sort(kind)
    )


def _report(manifest: dict[str, Any], folder: Path) -> None:
    for entry in manifest["counts"]:
        if entry["dropped"]:
            log.warning("Dropped %s rows: %s", f"{entry['dropped']:,}", entry["reason"])
    log.info(
        "Prepared %s: %s users, %s items, %s interactions",
        folder,
        f"{manifest['num_users']:,}",
        f"{manifest['num_items']:,}",
        f"{manifest['num_interactions']:,}",
    )
    alone = manifest["split"]["users_without_targets"]
    if alone:
        log.info("%s users have too few events for targets: trained on only", f"{alone:,}")
