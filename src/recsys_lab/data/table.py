"""Your own log: CSV, TSV, JSON lines or Parquet with a column mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.files import file_key, require_columns, require_file, require_option
from recsys_lab.data.formats import TableFile
from recsys_lab.data.ids import clean_ids
from recsys_lab.data.raw import RawData
from recsys_lab.data.times import parse_times

if TYPE_CHECKING:
    from pathlib import Path


class Table:
    """Reads one row an event.

    Args:
        config: the file and its columns.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Table`.

        Attributes:
            path: the log: .csv, .tsv, .jsonl, .ndjson, .parquet, RecBole's .inter; text also .gz.
            separator: of delimited text; null: by the suffix.
            user_column: who; integers or strings.
            item_column: what; integers or strings.
            timestamp_column: when: numbers, dates or datetimes; null where there is none.
            timestamp_unit: of numbers; auto: by their size.
            timestamp_format: of text, as in strptime; null: numbers or ISO 8601.
            order_column: the place in the user's history, integers; alone it replaces the
                timestamp, beside one it orders events of the same time. With neither, events are
                in file order.
            rating_column: read only for ``min_rating``.
            min_rating: rows with a smaller or no rating are dropped and counted; null for off.
            title_column: item title for people to read: a column of ``items_path`` or, without
                one, of the log; null for none.
            items_path: a table of items, all of whose columns are kept; null for none.
            items_id_column: the item id in it.
            users_path: a table of users; null for none.
            users_id_column: the user id in it.
        """

        path: str | None
        separator: str | None
        user_column: str
        item_column: str
        timestamp_column: str | None
        timestamp_unit: Literal["auto", "s", "ms", "us", "ns"]
        timestamp_format: str | None
        order_column: str | None
        rating_column: str | None
        min_rating: float | None
        title_column: str | None
        items_path: str | None
        items_id_column: str
        users_path: str | None
        users_id_column: str

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of every file that is read."""
        files = self._files()
        return {option: file_key(table.file) for option, table in files.items()}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the log and the tables beside it."""
        del scratch
        files = self._files()
        config, log = self.config, files["path"]
        title = config.title_column if config.items_path is None else None
        columns = self._log_columns(log, title)
        frame = log.read(columns)
        if frame.is_empty():
            raise UserError(f"data.path={log.file}: the file has a header but no rows")
        log.refuse_mixed_types(frame, [config.user_column, config.item_column])
        rows = len(frame)
        frame, dropped = self._rated(frame, log)
        if frame.is_empty():
            raise UserError(
                f"data.path={log.file}: none of the {rows} rows has {config.rating_column} >= "
                f"{config.min_rating}; lower data.min_rating (null for off)"
            )
        interactions = self._events(frame, log)
        items = self._table(files, "items_path", "item_id", config.items_id_column)
        if title is not None:
            titles = interactions.select("item_id", title=frame[title].cast(pl.String))
            items = titles.drop_nulls().unique("item_id", keep="first", maintain_order=True)
        users = self._table(files, "users_path", "user_id", config.users_id_column)
        return RawData(interactions, items, users, dropped)

    def _files(self) -> dict[str, TableFile]:
        config = self.config
        require_option(config.path, "data.path", "data.path=clicks.csv")
        files = {}
        for option in ("path", "items_path", "users_path"):
            path = getattr(config, option)
            if path is not None:
                name = f"data.{option}"
                files[option] = TableFile(require_file(path, name), name, config.separator)
        return files

    def _log_columns(self, log: TableFile, title: str | None) -> list[str]:
        """The columns to read, each once, all checked to exist."""
        config = self.config
        if config.min_rating is not None and config.rating_column is None:
            raise UserError(
                f"data.min_rating={config.min_rating} needs data.rating_column, the column with "
                "the ratings"
            )
        wanted = {
            "user_column": config.user_column,
            "item_column": config.item_column,
            "timestamp_column": config.timestamp_column,
            "order_column": config.order_column,
            "rating_column": config.rating_column if config.min_rating is not None else None,
            "title_column": title,
        }
        require_columns(wanted, log.columns(), log.file)
        return list(dict.fromkeys(column for column in wanted.values() if column is not None))

    def _rated(self, frame: pl.DataFrame, log: TableFile) -> tuple[pl.DataFrame, dict[str, int]]:
        """Rows whose rating is high enough, and how many went by reason."""
        config = self.config
        if config.min_rating is None or config.rating_column is None:
            return frame, {}
        rating = frame[config.rating_column].cast(pl.Float64, strict=False)
        missing = rating.is_null() | rating.is_nan().fill_null(False)
        if missing.all():
            raise UserError(
                f"data.path={log.file}: column '{config.rating_column}' holds no number"
            )
        low = (rating < config.min_rating).fill_null(False) & ~missing
        counts = {"missing rating": missing, f"rating below {config.min_rating:g}": low}
        dropped = {reason: int(rows.sum()) for reason, rows in counts.items()}
        return frame.filter(~(missing | low)), dropped

    def _events(self, frame: pl.DataFrame, log: TableFile) -> pl.DataFrame:
        config = self.config
        columns = [
            _ids(frame[config.user_column], log).alias("user_id"),
            _ids(frame[config.item_column], log).alias("item_id"),
        ]
        finer = None
        if config.timestamp_column is not None:
            seconds, finer = parse_times(
                frame[config.timestamp_column],
                log.file,
                config.timestamp_unit,
                config.timestamp_format,
            )
            columns.append(seconds)
        if config.order_column is not None:
            columns.append(_whole_numbers(frame[config.order_column], log).alias("order"))
        elif finer is not None:
            columns.append(finer)
        return pl.DataFrame(columns)

    def _table(
        self, files: dict[str, TableFile], option: str, key: str, column: str
    ) -> pl.DataFrame | None:
        """A table of items or users with its id and title columns under their standard names."""
        if option not in files:
            return None
        table = files[option]
        title = self.config.title_column if key == "item_id" else None
        present = table.columns()
        names = {f"{option.removesuffix('_path')}_id_column": column, "title_column": title}
        require_columns(names, present, table.file)
        frame = table.read(present)
        ids = _ids(frame[column], table).alias(key)
        frame = frame.drop(column, *([key] if key in present and key != column else []))
        if title is not None and title != "title":
            frame = frame.drop("title", strict=False).rename({title: "title"})
        return frame.insert_column(0, ids)


def _ids(column: pl.Series, table: TableFile) -> pl.Series:
    return clean_ids(column, f"{table.option}={table.file}", untyped=table.is_text)


def _whole_numbers(column: pl.Series, log: TableFile) -> pl.Series:
    if column.dtype == pl.String or column.dtype.is_numeric():
        # Integers as they are: beyond 2^53 a float would merge neighbours.
        exact = column if column.dtype.is_integer() else column.cast(pl.Float64, strict=False)
        fractions = exact.filter(exact.is_finite() & (exact != exact.floor()))
        if len(fractions):
            raise UserError(
                f"data.order_column={column.name}: {log.file} has places that are no whole "
                f"numbers, such as {fractions[0]}; cutting them would change the order. Number "
                "the events, or use data.timestamp_column"
            )
        numbers = exact.cast(pl.Int64, strict=False)
        if numbers.null_count() < len(numbers):
            return numbers
    raise UserError(
        f"data.order_column={column.name}: no value in this column of {log.file} is a whole "
        f"number; the first is {column[0]!r}. For times use data.timestamp_column"
    )
