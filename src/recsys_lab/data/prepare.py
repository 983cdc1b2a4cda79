"""Raw log -> prepared dataset: filter, order, remap, split, hash; the same for every source."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.card.page import write_card
from recsys_lab.data.features.first_values import values_of
from recsys_lab.data.formats.staging import Stages
from recsys_lab.data.leaks.check import KINDS, check_columns, check_leaks, in_order
from recsys_lab.data.leaks.columns import Columns
from recsys_lab.data.leaks.finding import STOPPABLE, by_weight, in_words
from recsys_lab.data.leaks.world import World
from recsys_lab.data.preparation.disk import disk_told, usable
from recsys_lab.data.preparation.encode_events import TIE_RULE, order_events
from recsys_lab.data.preparation.event_units import content_of, known_runs, with_units
from recsys_lab.data.preparation.history_filters import Trim
from recsys_lab.data.preparation.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    features_fingerprint,
    fingerprint,
    read_manifest,
    reader_settings,
    sealed,
)
from recsys_lab.data.preparation.parts import require_parts, told_left, told_order
from recsys_lab.data.preparation.row_counts import Tally, said_examples
from recsys_lab.data.preparation.source_warnings import doubt_numbers, doubt_table, doubt_times
from recsys_lab.data.preparation.statistics import describe
from recsys_lab.data.preparation.table_items import listed_items, told_cold
from recsys_lab.data.preparation.training_filters import apply_filters
from recsys_lab.data.preparation.write import (
    describe_ids,
    write_arrays,
    write_features,
    write_interactions,
)
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.data.splits.base import FlatLog
from recsys_lab.files.arrays import save_npy
from recsys_lab.files.atomic import sync, sync_tree
from recsys_lab.files.digests import content_hash
from recsys_lab.files.scratch import make_scratch, sweep_scratch
from recsys_lab.pages.number_format import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.config.commands import Verify
    from recsys_lab.data.engines.base import Engine
    from recsys_lab.data.preparation.row_filters import Filters
    from recsys_lab.data.preparation.write import Arrays
    from recsys_lab.data.raw import RawData, Reader
    from recsys_lab.data.splits.base import Segments, Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """What makes a dataset out of a source.

    Attributes:
        filters: which events stay.
        split: which events are targets.
        engine: where the work happens; every engine gives the same bytes.
    """

    filters: Filters
    split: Split
    engine: Engine

    def settings(self) -> dict[str, Any]:
        """What shapes the result, for the key and the fingerprint."""
        return {"filter": self.filters.settings(), "split": self.split.settings()}


def prepare(
    reader: Reader, parts: Preparation, root: Path, name: str, verify: Verify = "full"
) -> PreparedDataset:
    """The prepared dataset of a source; made when it is not there yet.

    The folder is ``root/name-<key>``, where the key covers the schema version, the source's
    content and every setting. It appears whole or not at all, also when several processes
    prepare at once.

    Args:
        reader: the source.
        parts: filters, split, engine.
        root: where prepared datasets live; made when absent.
        name: the dataset's name in the folder's name.
        verify: how a dataset that is there is checked; a damaged one is made again.

    Raises:
        UserError: for anything wrong with the source.
    """
    if isinstance(reader, Stages):
        reader.staging_root = Path(root)
    source = {
        "reader": type(reader).__name__,
        "config": reader_settings(reader),
        "key": reader.source_key(),
    }
    key = content_hash({"schema": SCHEMA_VERSION, "source": source, **parts.settings()})
    folder = Path(root) / f"{name}-{key[:12]}"
    with usable(root):
        Path(root).mkdir(parents=True, exist_ok=True)
        exists = folder.exists()
    if exists:
        manifest, problem = read_manifest(folder, verify)
        if manifest is not None:
            # It may be of a command that allowed more bad rows than this one.
            Tally(manifest["counts"]).refuse_many(parts.filters.config.max_bad_rows)
            log.info("Reusing the prepared dataset %s", folder)
            sweep_scratch(folder.parent, _hidden(folder))
            return PreparedDataset(folder, "sizes")
        log.warning("Preparing %s again: %s", folder, problem)

    with contextlib.ExitStack() as until, disk_told(root):
        with usable(root):
            place = make_scratch(folder.parent, _hidden(folder), until)
            scratch, work = place / "made", place / "work"
            scratch.mkdir()
            work.mkdir()
        raw = reader.read_raw(work)
        require_parts(raw, parts.split)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "source": source,
            "about": None if raw.about is None else asdict(raw.about),
            "engine": parts.engine.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **_write(scratch, work, raw, parts),
        }
        _finish(scratch, manifest)
        sync_tree(scratch)
        _publish(scratch, folder)
        sync(folder.parent)
    _report(manifest, folder)
    return PreparedDataset(folder, "sizes")


def _finish(scratch: Path, manifest: dict[str, Any]) -> None:
    """The manifest last: it lists all others."""
    write_card(manifest, scratch / "card.html")
    text = json.dumps(sealed(scratch, manifest), indent=1, ensure_ascii=False) + "\n"
    (scratch / MANIFEST).write_text(text, encoding="utf-8")


def _hidden(folder: Path) -> str:
    """How the names of the folders begin in which a dataset is made."""
    return f".{folder.name}-"


def _publish(scratch: Path, folder: Path) -> None:
    """Give the finished folder its name in one step."""
    if folder.exists() and read_manifest(folder, "full")[0] is None:
        folder.rename(scratch.with_name("broken"))  # goes with the scratch
    try:
        scratch.rename(folder)
    except OSError:
        # Another process was first; what it made has the same key and so the same content.
        if read_manifest(folder, "sizes")[0] is None:
            raise


def _write(folder: Path, scratch: Path, raw: RawData, parts: Preparation) -> dict[str, Any]:
    """Write all files but the manifest and return what the manifest says of them."""
    tally, listed = Tally(), listed_items(raw, parts.filters)
    with parts.engine.open(scratch) as session:
        coded = order_events(session, raw, parts.filters, tally, scratch)
    coded = with_units(coded, parts.split, scratch)
    warnings = [*coded.warnings, *told_order(coded, parts.split)]
    trim = Trim(coded.columns, len(coded.values["user"]), len(coded.values["item"]))
    apply_filters(trim, coded.columns, parts.filters, parts.split, tally, scratch)
    arrays = write_arrays(coded, trim, folder, scratch, listed)
    _refuse_one_user(arrays.offsets)
    num_items = len(arrays.item_ids)
    runs = known_runs(trim, coded.columns, parts.filters, parts.split, scratch)
    log = FlatLog(
        arrays.items, arrays.offsets, arrays.timestamps, num_items, arrays.parts,
        arrays.is_target, runs.sessions, runs.baskets,
    )  # fmt: skip
    if log.sessions is not None:
        save_npy(folder / "sessions.npy", log.sessions)
    phases = parts.split.segments(log)
    held_out = parts.split.held_out_phases
    world = World(log, phases, parts.filters, arrays.item_ids, arrays.user_ids, held_out)
    with ThreadPoolExecutor() as pool:  # none of these waits for another, or holds Python's lock
        leaks = pool.submit(check_leaks, world)
        statistics = pool.submit(describe, log, phases)
        mark = pool.submit(_fingerprint, log, arrays, parts)
        write_interactions(arrays, log.sessions, trim, folder / "interactions.parquet")
        rows = _write_split(phases, folder)
        warnings += [*runs.warnings, *doubt_times(arrays.timestamps), *told_left(raw, arrays.parts)]
        warnings += _write_tables(arrays, raw, phases.train, folder)
        warnings += told_cold(arrays.items_without_events, num_items)
        features = write_features(raw.features, coded, arrays, phases.train, folder)
        of_columns = check_columns(world, Columns(folder, features))
        if raw.truth_path is not None:
            shutil.copyfile(raw.truth_path, folder / "truth.npz")
    cold = {"items_without_events": number} if (number := arrays.items_without_events) else {}
    return {
        "num_users": len(arrays.offsets) - 1,
        "num_items": num_items,
        "num_interactions": len(arrays.items),
        "has_timestamps": arrays.timestamps is not None,
        "tie_rule": TIE_RULE,
        "settings": parts.settings(),
        "counts": tally.counts,
        "unreadable": {name: found._asdict() for name, found in raw.unreadable.items()},
        "warnings": warnings,
        "split": {
            **parts.split.settings(),
            **rows,
            **runs.counts,
            **phases.counts,
            **cold,
        },
        "features": features,
        "features_fingerprint": features_fingerprint(folder, features),
        "leaks": [leak.to_json() for leak in in_order([*leaks.result(), *of_columns])],
        "leak_kinds": list(KINDS),
        "statistics": statistics.result(),
        "fingerprint": mark.result(),
    }


def _write_tables(
    arrays: Arrays, raw: RawData, train: NDArray[np.int64], folder: Path
) -> list[str]:
    """Store what is known of each item and user; return what is odd about the source."""
    warnings = [*raw.warnings, *doubt_numbers(raw.unreadable)]
    for side, ids, table, features in (
        ("item", arrays.item_ids, raw.items, raw.features.items),
        ("user", arrays.user_ids, raw.users, raw.features.users),
    ):
        described, matched = describe_ids(ids, side, table)
        cold = arrays.items_without_events if side == "item" else 0
        described = described.with_columns(values_of(raw, side, arrays, train, features))
        described.write_parquet(folder / f"{side}s.parquet")
        warnings += doubt_table(side, ids, table, matched, cold)
    return warnings


def _write_split(phases: Segments, folder: Path) -> dict[str, int]:
    """Store the rows of each phase; return how many they are."""
    rows = {"train": phases.train, "validation": phases.validation, "test": phases.test}
    for label, array in rows.items():
        save_npy(folder / f"{label}.npy", array)
    save_npy(folder / "dropped_targets.npy", phases.dropped_targets)
    return {f"{label}_rows": len(array) for label, array in rows.items()}


def _fingerprint(log: FlatLog, arrays: Arrays, parts: Preparation) -> str:
    given = (arrays.timestamps, arrays.parts)
    content = [arrays.items, arrays.offsets, *(array for array in given if array is not None)]
    content += content_of(log, parts.split)
    rules = {"tie_rule": TIE_RULE, **parts.settings()}
    return fingerprint(content, [arrays.user_ids, arrays.item_ids], rules)


def _refuse_one_user(offsets: NDArray[np.int64]) -> None:
    if len(offsets) == 2:
        raise UserError(
            f"only one user is left, with {offsets[-1]} events: a recommender needs several. "
            "Check data.user_column and the filter settings"
        )


def _report(manifest: dict[str, Any], folder: Path) -> None:
    for entry in manifest["counts"]:
        if entry["dropped"]:
            share = percent(entry["dropped"] / (entry["rows"] + entry["dropped"]))
            said = f"({share}): {entry['reason']}{said_examples(entry)}"
            log.warning("Dropped %s rows %s", f"{entry['dropped']:,}", said)
    for said in manifest["warnings"]:
        log.warning("%s", said)
    for leak in by_weight(manifest["leaks"]):
        if leak["severity"] in STOPPABLE:
            log.warning("%s (%s): %s", leak["kind"], leak["phase"], in_words(leak))
    log.info(
        "Prepared %s: %s users, %s items, %s interactions",
        folder,
        f"{manifest['num_users']:,}",
        f"{manifest['num_items']:,}",
        f"{manifest['num_interactions']:,}",
    )
    if alone := manifest["split"]["users_without_targets"]:
        log.info("%s users have too few events for targets: trained on only", f"{alone:,}")
