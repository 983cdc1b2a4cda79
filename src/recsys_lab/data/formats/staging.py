"""Staging: batches of rows from a database or hub, written to one Parquet file."""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import rmtree
from typing import Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_lab.config import UserError
from recsys_lab.files.faults import MachineFault, out_of_space, reason
from recsys_lab.files.scratch import make_scratch


@runtime_checkable
class Stages(Protocol):
    """A reader that stages its rows.

    Attributes:
        staging_root: the folder of prepared datasets, which has room for them; None: the system's
            folder for temporary files, which is often in memory.
    """

    staging_root: Path | None


@contextlib.contextmanager
def staging_folder(owner: Stages) -> Iterator[Path]:
    """A folder that is removed with its owner, or at once if the body fails.

    Raises:
        UserError: if it cannot be made.
    """
    root = owner.staging_root
    until = contextlib.ExitStack()
    try:
        if root is None:
            folder = Path(tempfile.mkdtemp(prefix=".rows-"))
            until.callback(rmtree, folder, ignore_errors=True)
        else:
            root.mkdir(parents=True, exist_ok=True)
            folder = make_scratch(root, ".rows-", until)
    except OSError as error:
        raise UserError(
            f"prepared_dir={root}: cannot create or write this folder ({reason(error)}); change "
            "its mode (chmod u+rwx), or choose another"
        ) from error
    weakref.finalize(owner, until.close)
    try:
        yield folder
    except BaseException:
        until.close()
        raise


def stage_batches(batches: Iterable[pa.RecordBatch], file: Path, option: str) -> int:
    """Write batches as they arrive; each column gets one type that holds all its values.

    Args:
        batches: with the same columns each.
        file: the Parquet file to write.
        option: the config option they come from, named in errors.

    Returns:
        The number of rows.

    Raises:
        UserError: if there are no rows, or two columns with one name.
        MachineFault: if the disk is full.
    """
    try:
        return _staged(batches, file, option)
    except OSError as error:
        if not out_of_space(error):
            raise
        raise MachineFault(
            f"{option}: no space left for its rows in {file.parent} ({reason(error)}); nothing "
            "was kept. Free some space, or choose another prepared_dir"
        ) from error


def _staged(batches: Iterable[pa.RecordBatch], file: Path, option: str) -> int:
    parts: list[Path] = []
    schemas: list[pa.Schema] = []
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for batch in batches:
            if not schemas:
                _require_apart(batch.schema, option)
            if not len(batch):
                continue
            if not schemas or batch.schema != schemas[-1]:
                if writer is not None:
                    writer.close()
                parts.append(file.with_name(f"{file.stem}-{len(parts)}.part"))
                schemas.append(batch.schema)
                writer = pq.ParquetWriter(parts[-1], batch.schema)
            assert writer is not None
            writer.write_batch(batch)
            rows += len(batch)
    finally:
        if writer is not None:
            writer.close()
    if not rows:
        raise UserError(f"{option}: returned no rows")
    if len(parts) == 1:
        parts[0].rename(file)
    else:
        _join(parts, schemas, file)
    return rows


def _require_apart(schema: pa.Schema, option: str) -> None:
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise UserError(
            f"{option}: the result has several columns '{repeated[0]}'; rename them with AS"
        )


def _join(parts: list[Path], schemas: list[pa.Schema], file: Path) -> None:
    fields = [
        pa.field(name, _common([schema.field(name).type for schema in schemas]))
        for name in schemas[0].names
    ]
    schema = pa.schema(fields)
    with pq.ParquetWriter(file, schema) as writer:
        for part in parts:
            for batch in pq.ParquetFile(part).iter_batches():
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            part.unlink()


def _common(types: list[pa.DataType]) -> pa.DataType:
    """A type that holds the values of all; text if no other does."""
    kinds = {kind for kind in types if not pa.types.is_null(kind)}
    if len(kinds) <= 1:
        return kinds.pop() if kinds else pa.null()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        floats = any(pa.types.is_floating(kind) for kind in kinds)
        return pa.float64() if floats else pa.int64()
    return pa.large_string()
