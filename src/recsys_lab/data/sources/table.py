"""A user's own log: CSV, TSV, JSON lines or Parquet with a column mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import (
    ColumnPlan,
    apply_plans,
    as_parquet_log,
    column_notes,
    describe_rows,
    one_row,
    same,
    unreadable,
)
from recsys_lab.data.columns.conditions import Condition
from recsys_lab.data.columns.ids import Spelling, plan_ids
from recsys_lab.data.features.first_values import from_log, presence
from recsys_lab.data.formats.delimited import SHORT, short_row_notes
from recsys_lab.data.formats.paths import require_option
from recsys_lab.data.preparation.parts import plan_parts
from recsys_lab.data.raw import PART, Features, FromLog, ParquetLog, RawData, Unreadable
from recsys_lab.data.sources.further_columns import further_names, plan_conditions, return_notes
from recsys_lab.data.sources.log_columns import (
    event_features,
    plan_events,
    plan_feature,
    wanted_columns,
)
from recsys_lab.data.sources.options import ColumnOptions
from recsys_lab.data.sources.table_files import OpenTables, Tables

IN_MEMORY = 512 << 20
"""Bytes; a larger log in another format than Parquet is streamed to Parquet."""


class Table:
    """Reads a log with one row per event, from one file or from several with equal columns.

    Parquet is scanned by the engine itself if its columns have suitable types; other logs are read
    into memory, or streamed to Parquet if they are large.

    Args:
        config: the files and their columns.
    """

    @dataclass(frozen=True)
    class Config(ColumnOptions):
        """Options of `Table`.

        Attributes:
            path: the log: .csv, .tsv, .jsonl, .ndjson, .parquet, RecBole's .inter; text also with
                .gz, .bz2, .xz, .zst. A file, a pattern such as logs/*.csv.gz (``**`` for any
                depth), a folder, or a URL of these (s3://, gs://, az://, https://; read through
                fsspec), or env:NAME for an environment variable that holds one of these, if it
                contains a secret, as a presigned URL does. Files are read in the order of their
                names relative to the folder, numbers in them compared as numbers (2.csv before
                10.csv); each needs the columns that are read; folders named day=2024-01-01 are a
                column ``day``.
            validation_path: the validation part of a published split, for split=given, whose
                training part is ``path``; null for none.
            test_path: likewise the test part.
            separator: of delimited text; null: by the suffix.
            quoted: whether quotation marks quote values in delimited text.
            items_path: a table of items, all of whose columns are kept; null for none.
            items_id_column: its column of item ids.
            users_path: a table of users; null for none.
            users_id_column: its column of user ids.
        """

        path: str | None
        validation_path: str | None = field(default=None, kw_only=True)
        test_path: str | None = field(default=None, kw_only=True)
        separator: str | None
        quoted: bool
        items_path: str | None
        items_id_column: str
        users_path: str | None
        users_id_column: str

    def __init__(self, config: Config) -> None:
        self.config = config
        self.where_conditions: Sequence[Condition] = ()

    @cached_property
    def _tables(self) -> dict[str, Tables]:
        config = self.config
        require_option(config.path, "data.path", "data.path=clicks.csv")
        later = {"path": self._later()}
        return {
            option: Tables(
                path,
                f"data.{option}",
                config.separator,
                quoted=config.quoted,
                later=later.get(option),
            )
            for option in ("path", "items_path", "users_path")
            if (path := getattr(config, option)) is not None
        }

    def _later(self) -> dict[str, tuple[str, str]]:
        """The files of validation and test: part -> option and path."""
        paths = {part: getattr(self.config, f"{part}_path") for part in ("validation", "test")}
        later = {part: (f"data.{part}_path", path) for part, path in paths.items() if path}
        if later and (len(later) < len(paths) or self.config.part_column):
            given = ", ".join(option for option, _ in later.values())
            raise UserError(
                f"{given}: a published split needs three files (data.path for training, "
                "data.validation_path and data.test_path), or one table with data.part_column"
            )
        return later

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of every file that is read."""
        return {option: table.key() for option, table in self._tables.items()}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the log and the tables beside it."""
        config = self.config
        part = PART if self._later() else config.part_column
        wanted = wanted_columns(config) | {"part_column": part}
        features = self._features()
        beside = {side: self._of_log(side) for side in ("item", "user")}
        for columns in beside.values():
            wanted |= dict(columns.values())
        folder = scratch / "files"
        folder.mkdir()
        log = self._tables["path"].open(
            folder,
            wanted,
            [config.user_column, config.item_column],
            further=further_names(config, self.where_conditions),
        )
        with log.explained():
            frame = _cached(log, scratch)
            if not one_row(frame, rows=pl.len())["rows"]:
                raise UserError(f"{log.where}: the file has a header but no rows")
            plans = plan_events(
                frame, config, log.where, untyped=log.is_text, portable=log.parquet is not None
            )
            part_rows = None
            if part is not None:
                plans[PART], part_rows = plan_parts(frame, part, log.where)
            aliases, compared = plan_conditions(log, frame, config, self.where_conditions)
            taken, flags, odd, warnings = self._of_rows(frame, beside, log.where)
            flags |= compared
            warnings += return_notes(frame, config, plans, log.where, self.where_conditions)
            warnings += short_row_notes(
                frame, [name for name in wanted.values() if name], log.where
            )
            if SHORT in frame.collect_schema():
                flags[SHORT] = ColumnPlan(SHORT, None, same)
            interactions = _interactions_of(log, frame, plans | flags, scratch)
            keys = ("user_id", "item_id", "timestamp", "order")
            shown = [plans[name].source for name in keys if name in plans]
        odd |= unreadable(plans)
        warnings = [*log.warnings, *column_notes(plans), *warnings]
        sides: dict[str, pl.DataFrame | None] = {"item": None, "user": None}
        for side in sides:
            if getattr(config, f"{side}s_path") is not None:
                sides[side], own, notes = self._table(side, folder)
                odd |= own
                warnings += notes
        return RawData(
            interactions,
            sides["item"],
            sides["user"],
            from_log=taken,
            unreadable=odd,
            features=features,
            warnings=warnings,
            normalizes_ids=True,
            describe_rows=partial(describe_rows, frame, shown),
            part_rows=part_rows,
            drops_returns=config.quantity_column is not None and not config.keep_returns,
            aliases=aliases,
        )

    def _features(self) -> Features:
        config = self.config
        titled = config.title_column not in (None, "title")
        if titled and "title" in config.item_features:
            raise UserError(
                f"data.item_features.title: the title is column '{config.title_column}' "
                "(data.title_column); set that to null, or rename the column of the source"
            )
        return Features(
            dict(config.item_features), dict(config.user_features), event_features(config)
        )

    def _of_log(self, side: str) -> dict[str, tuple[str, str]]:
        """Columns of items or users in the log: name -> option and column."""
        config = self.config
        if getattr(config, f"{side}s_path") is not None:
            return {}
        names = {
            name: (f"{side}_features.{name}", name) for name in getattr(config, f"{side}_features")
        }
        if side == "item" and config.title_column is not None:
            names["title"] = ("title_column", config.title_column)
        return names

    def _of_rows(
        self, frame: pl.LazyFrame, beside: dict[str, dict[str, tuple[str, str]]], where: str
    ) -> tuple[
        dict[str, dict[str, FromLog]], dict[str, ColumnPlan], dict[str, Unreadable], list[str]
    ]:
        """Plan the columns of items and users that are read from the log.

        Returns:
            Side -> column -> how it is read; the further columns of the log that this needs;
            values of numeric columns that are not numbers; notes.
        """
        taken: dict[str, dict[str, FromLog]] = {}
        flags: dict[str, ColumnPlan] = {}
        odd: dict[str, Unreadable] = {}
        notes: list[str] = []
        for side, columns in beside.items():
            kinds, spelling = getattr(self.config, f"{side}_features"), Spelling.of(self.config)
            plans = {
                name: plan_feature(
                    frame, column, kinds.get(name, "text"), f"data.{option}", where, spelling
                )
                for name, (option, column) in columns.items()
            }
            present = presence(side, plans)
            taken[side] = {name: from_log(frame, plans[name], present[name]) for name in plans}
            flags |= {present[name]: plan.as_flag() for name, plan in plans.items()}
            odd |= unreadable(plans, f"{side}s.")
            notes += column_notes(plans, f"{side}s.")
        return taken, flags, odd, notes

    def _table(
        self, side: str, folder: Path
    ) -> tuple[pl.DataFrame, dict[str, Unreadable], list[str]]:
        """A table with standard names of id and title; values that are not numbers; notes."""
        config, key = self.config, f"{side}_id"
        column = getattr(config, f"{side}s_id_column")
        title = config.title_column if side == "item" else None
        kinds = getattr(config, f"{side}_features")
        names = {f"{side}s_id_column": column, "title_column": title}
        names |= {f"{side}_features.{name}": name for name in kinds}
        opened = self._tables[f"{side}s_path"].open(folder, names, [column], every=True)
        with opened.explained():
            frame = opened.frame.collect().lazy()
            spelling, where = Spelling.of(config), opened.where
            ids = plan_ids(frame, column, where, untyped=opened.is_text, spelling=spelling)
            plans = {key: ids}
            for name in opened.columns:
                if name in kinds:
                    option = f"data.{side}_features.{name}"
                    plans[name] = plan_feature(frame, name, kinds[name], option, where, spelling)
                elif name not in (key, column):
                    plans[name] = ColumnPlan(name, None, same)
            if title is not None:
                plans["title"] = ColumnPlan(title, None, same)
                if title != "title" and title not in kinds:
                    del plans[title]
            notes = [*opened.warnings, *column_notes(plans, f"{side}s.")]
            notes += short_row_notes(frame, opened.columns, where)
            return apply_plans(frame, plans).collect(), unreadable(plans, f"{side}s."), notes


def _cached(log: OpenTables, scratch: Path) -> pl.LazyFrame:
    """The rows in memory or as Parquet, so that they can be read several times at low cost."""
    if log.parquet is not None:
        return log.frame
    if log.bytes <= IN_MEMORY:
        return log.frame.collect().lazy()
    file = scratch / "source.parquet"
    log.frame.sink_parquet(file, maintain_order=True)
    return pl.scan_parquet(file, glob=False)


def _interactions_of(
    log: OpenTables, frame: pl.LazyFrame, plans: dict[str, ColumnPlan], scratch: Path
) -> pl.DataFrame | ParquetLog:
    """The log for the engine, without a copy if possible."""
    if log.parquet is not None:
        scanned = as_parquet_log(log.parquet, plans)
        if scanned is not None:
            return scanned
    events = apply_plans(frame, plans)
    if log.bytes <= IN_MEMORY:
        return events.collect()
    file = scratch / "log.parquet"
    events.sink_parquet(file, maintain_order=True)
    columns = {name: ColumnPlan(name, None, same) for name in plans}
    stored = as_parquet_log([str(file)], columns)
    assert stored is not None
    return stored
