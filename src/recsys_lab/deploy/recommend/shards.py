"""One file with the lists of a range of users, written row group by row group.

Shapes: n users, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_lab.contracts import NO_ITEM

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.deploy.recommend.sources import Source
    from recsys_lab.experiment.recommend.batch_lists import RankedBatch

Format = Literal["parquet", "csv", "jsonl"]

ROW_GROUP = 1 << 20
"""Rows that are written at once: the metadata of small row groups would stay in memory."""


@dataclass(frozen=True)
class Columns:
    """The columns of all shards, with one type each, whatever values a shard has.

    Attributes:
        source: the users.
        item_ids: raw ids of the catalogue.
        titles: their titles, null where missing; None: the items have no titles.
    """

    source: Source
    item_ids: pl.Series
    titles: pl.Series | None

    def schema(self) -> pa.Schema:
        """Names and types."""
        fields = [
            ("user_id", _arrow_type(self.source.ids(np.empty(0, np.int64)))),
            ("rank", pa.int32()),
            ("item_id", _arrow_type(self.item_ids)),
            ("score", pa.float32()),
        ]
        return pa.schema(fields if self.titles is None else [*fields, ("title", pa.large_string())])

    def frame(self, first: int, batches: list[RankedBatch]) -> pl.DataFrame:
        """One row per recommended item.

        Args:
            first: number of the user that row 0 of the batches belongs to.
            batches: lists.
        """
        rows_n = first + np.concatenate([batch.rows_B for batch in batches])
        items_nK = np.concatenate([batch.items_BK for batch in batches])
        scores_nK = np.concatenate([batch.scores_BK for batch in batches])
        lists, ranks = np.nonzero(items_nK != NO_ITEM)
        items = items_nK[lists, ranks]
        columns = [
            self.source.ids(rows_n[lists]).alias("user_id"),
            pl.Series("rank", ranks + 1, dtype=pl.Int32),
            self.item_ids.gather(items).alias("item_id"),
            pl.Series("score", scores_nK[lists, ranks], dtype=pl.Float32),
        ]
        if self.titles is not None:
            columns.append(self.titles.gather(items).alias("title"))
        return pl.DataFrame(columns)


class ShardWriter:
    """Writes a shard; closes it at the end of a ``with`` statement.

    Args:
        file: to be written, with any suffix.
        form: its format.
        schema: of `Columns`.
    """

    def __init__(self, file: Path, form: Format, schema: pa.Schema) -> None:
        self._form, self._schema = form, schema
        self._stream: IO[bytes] = file.open("wb")
        self._parquet: Any = None
        if form == "parquet":
            # Without Arrow's own schema, so that other readers see plain types.
            self._parquet = pq.ParquetWriter(
                self._stream, schema, compression="zstd", store_schema=False
            )
        elif form == "csv":
            self._stream.write((",".join(schema.names) + "\n").encode())

    def __enter__(self) -> ShardWriter:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the file."""
        try:
            if self._parquet is not None:
                self._parquet.close()
        finally:
            self._stream.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows, as one row group."""
        if frame.is_empty():
            return
        if self._form == "parquet":
            table = frame.to_arrow().cast(self._schema)
            self._parquet.write_table(table, row_group_size=len(frame))
        elif self._form == "csv":
            frame.write_csv(self._stream, include_header=False)
        else:
            frame.write_ndjson(self._stream)


def _arrow_type(ids: pl.Series) -> pa.DataType:
    return pa.int64() if ids.dtype.is_integer() else pa.large_string()
