"""The manifest of a prepared dataset: its contents, its source and its fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.config.commands import Verify
from recsys_lab.config.secrets import scrubbed
from recsys_lab.data.raw import ONLY_WITH, Reader
from recsys_lab.files.digests import SEAL, content_hash, damage, digests, seal, sha256_of
from recsys_lab.files.reading import reading

MANIFEST = "manifest.json"
PREPARE_AGAIN = "; delete that folder and repeat the command that made it"
SCHEMA_VERSION = 5
"""Raised when prepared files change their meaning; older datasets are then prepared again."""


def reader_settings(reader: Reader) -> dict[str, Any]:
    """The reader's options without paths (copies of a file are equal) and without secrets.

    Newer options are left out where they change nothing, so that older datasets are found.
    """
    config = reader.config
    unused = {
        entry.name
        for entry in dataclasses.fields(config)
        if (other := entry.metadata.get(ONLY_WITH)) is not None
        and (getattr(config, other) is None or getattr(config, entry.name) == entry.default)
    }
    return scrubbed(
        {
            name: value
            for name, value in dataclasses.asdict(config).items()
            if name != "path" and not name.endswith(("_path", "_dir")) and name not in unused
        }
    )


def fingerprint(
    arrays: Sequence[NDArray[Any]], ids: Sequence[Any], settings: Mapping[str, Any]
) -> str:
    """SHA-256 of the data that models learn from and are evaluated on; equal on every engine.

    Args:
        arrays: the flat arrays, also memory-mapped.
        ids: Arrow arrays of raw ids, int64 or strings, without nulls.
        settings: tie rule, filters, split.
    """
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{little.dtype.str}{little.shape}".encode())
        digest.update(np.ascontiguousarray(little).data)
    for column in ids:
        if pa.types.is_integer(column.type):
            digest.update(b"int" + column.to_numpy().astype("<i8").tobytes())
        else:
            lengths = pc.binary_length(column).to_numpy().astype("<i8")
            digest.update(b"str" + lengths.tobytes())
            ends = pa.array([0, len(column)], pa.int64())
            whole = pa.LargeListArray.from_arrays(ends, column.cast(pa.large_string()))
            joined = pc.binary_join(whole, pa.scalar("", pa.large_string()))
            digest.update(joined[0].as_buffer())
    digest.update(content_hash(settings).encode())
    return digest.hexdigest()


def features_fingerprint(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """SHA-256 of the encoded columns and of the texts.

    Separate from the fingerprint of the log, so that a model that reads columns can be compared
    with one that does not.

    Args:
        folder: the prepared dataset.
        entries: the manifest's ``features``.
    """
    files = {file.name: sha256_of(file) for file in sorted((folder / "features").glob("*.npy"))}
    for side, columns in sorted(entries.items()):
        for name, entry in sorted(columns.items()):
            if entry["type"] == "text":
                column = pq.read_table(folder / f"{side}s.parquet", columns=[name])[name]
                texts = pc.fill_null(column.cast(pa.large_string()), "").combine_chunks()
                files[f"{side}.{name}"] = fingerprint([], [texts], {})
    return content_hash({"files": files, "entries": entries})


def sealed(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a digest of every other file of its folder, and a seal."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    listed = digests(folder, sorted(name for name in names if name != MANIFEST))
    whole = {**manifest, "files": listed}
    return {**whole, SEAL: seal(whole)}


def read_manifest(folder: Path, verify: Verify) -> tuple[dict[str, Any] | None, str]:
    """The manifest of a prepared folder, or None and a message about what is wrong with it."""
    file = folder / MANIFEST
    try:
        with reading(file, ""):
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version = manifest["schema_version"]
    except UserError as error:
        return None, str(error)
    if version != SCHEMA_VERSION:
        return None, f"{file} has schema version {version}; this version reads {SCHEMA_VERSION}"
    if manifest.get(SEAL) != seal(manifest):
        return None, f"{file} is damaged: its content does not match its own '{SEAL}'"
    problem = damage(folder, manifest["files"], verify)
    return (None, problem) if problem else (manifest, "")
