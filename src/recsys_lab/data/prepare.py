"""Raw log -> prepared dataset: filter, sort, encode, split, hash; the same for every source."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.config.commands import Verify
from recsys_lab.data.card.page import write_card
from recsys_lab.data.formats.staging import Stages
from recsys_lab.data.leaks.check import TOLD
from recsys_lab.data.leaks.finding import STOPPABLE, by_weight, in_words
from recsys_lab.data.preparation.contents import Preparation, write_contents
from recsys_lab.data.preparation.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    read_manifest,
    sealed,
)
from recsys_lab.data.preparation.own_reader import check_raw, source_of
from recsys_lab.data.preparation.parts import require_parts
from recsys_lab.data.preparation.row_counts import RowCounts, format_examples
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.data.raw import Reader
from recsys_lab.data.sources.further_columns import HasConditions
from recsys_lab.files.atomic import sync, sync_tree
from recsys_lab.files.digests import content_hash
from recsys_lab.files.faults import MachineFault, out_of_space, reason
from recsys_lab.files.scratch import make_scratch, sweep_scratch
from recsys_lab.pages.number_format import percent

log = logging.getLogger(__name__)


def prepare(
    reader: Reader, parts: Preparation, root: Path, name: str, verify: Verify = "full"
) -> PreparedDataset:
    """The prepared dataset of a source; prepared now unless it exists.

    The folder is ``root/name-<key>``, where the key covers the schema version, the source's
    content and every setting. It is created atomically, also by concurrent processes.

    Args:
        reader: the source.
        parts: filters, split, engine.
        root: folder of all prepared datasets; created if missing.
        name: prefix of the folder's name.
        verify: how an existing dataset is checked; a damaged one is prepared again.

    Raises:
        UserError: the source or the folder cannot be used.
    """
    if isinstance(reader, Stages):
        reader.staging_root = Path(root)
    if isinstance(reader, HasConditions):
        reader.where_conditions = parts.filters.conditions
    source = source_of(reader)
    key = content_hash({"schema": SCHEMA_VERSION, "source": source, **parts.settings()})
    folder = Path(root) / f"{name}-{key[:12]}"
    with _folder_errors(root):
        Path(root).mkdir(parents=True, exist_ok=True)
        exists = folder.exists()
    if exists:
        manifest, problem = read_manifest(folder, verify)
        if manifest is not None:
            # An earlier command may have allowed more bad rows.
            RowCounts(manifest["counts"]).refuse_many(parts.filters.config.max_bad_rows)
            log.info("Reusing the prepared dataset %s", folder)
            sweep_scratch(folder.parent, f".{folder.name}-")
            return PreparedDataset(folder, "sizes")
        log.warning("Preparing %s again: %s", folder, problem)

    with contextlib.ExitStack() as cleanup, _disk_full_errors(root):
        with _folder_errors(root):
            hidden = make_scratch(folder.parent, f".{folder.name}-", cleanup)
            scratch, work = hidden / "made", hidden / "work"
            scratch.mkdir()
            work.mkdir()
        raw = reader.read_raw(work)
        check_raw(reader, raw)
        require_parts(raw, parts.split)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "source": source,
            "about": None if raw.about is None else asdict(raw.about),
            "engine": parts.engine.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **write_contents(scratch, work, raw, parts),
        }
        write_card(manifest, scratch / "card.html")
        # The manifest comes last: it lists all other files.
        text = json.dumps(sealed(scratch, manifest), indent=1, ensure_ascii=False) + "\n"
        (scratch / MANIFEST).write_text(text, encoding="utf-8")
        sync_tree(scratch)
        _publish(scratch, folder)
        sync(folder.parent)
    _report(manifest, folder)
    return PreparedDataset(folder, "sizes")


def _publish(scratch: Path, folder: Path) -> None:
    """Rename the finished folder in one step."""
    if folder.exists() and read_manifest(folder, "full")[0] is None:
        folder.rename(scratch.with_name("broken"))  # removed with the scratch folder
    try:
        scratch.rename(folder)
    except OSError:
        # Another process was first; its dataset has the same key and so the same content.
        if read_manifest(folder, "sizes")[0] is None:
            raise


def _report(manifest: dict[str, Any], folder: Path) -> None:
    for entry in manifest["counts"]:
        if entry["dropped"]:
            share = percent(entry["dropped"] / (entry["rows"] + entry["dropped"]))
            details = f"({share}): {entry['reason']}{format_examples(entry)}"
            log.warning("Dropped %s rows %s", f"{entry['dropped']:,}", details)
    for warning in manifest["warnings"]:
        log.warning("%s", warning)
    for leak in by_weight(manifest["leaks"]):
        if leak["severity"] in STOPPABLE or (leak["kind"] in TOLD and leak["phase"] == "test"):
            log.warning("%s (%s): %s", leak["kind"], leak["phase"], in_words(leak))
    log.info(
        "Prepared %s: %s users, %s items, %s interactions",
        folder,
        f"{manifest['num_users']:,}",
        f"{manifest['num_items']:,}",
        f"{manifest['num_interactions']:,}",
    )
    if alone := manifest["split"]["users_without_targets"]:
        log.info("%s users have too few events for targets: used for training only", f"{alone:,}")


@contextlib.contextmanager
def _folder_errors(root: Path) -> Iterator[None]:
    """Turn system errors about the folder of prepared datasets into a `UserError`."""
    try:
        yield
    except OSError as error:
        if out_of_space(error):
            raise _full(root, error) from error
        raise UserError(
            f"prepared_dir={root}: cannot create or write this folder ({error.strerror}); change "
            "its mode (chmod u+rwx), or choose another"
        ) from error


@contextlib.contextmanager
def _disk_full_errors(root: Path) -> Iterator[None]:
    """Turn errors of a full disk into a `MachineFault` that names the option for another disk."""
    try:
        yield
    except (OSError, PolarsError) as error:
        if not out_of_space(error):
            raise
        raise _full(root, error) from error


def _full(root: Path, error: Exception) -> MachineFault:
    return MachineFault(
        f"prepared_dir={root}: no space left while preparing ({reason(error)}); nothing was kept. "
        "Free some space, or choose another prepared_dir"
    )
