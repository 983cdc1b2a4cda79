"""Your own log: CSV, TSV, JSON lines or Parquet with a column mapping."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import (
    ColumnPlan,
    apply_plans,
    describe_rows,
    missing_value_notes,
    one_row,
    same,
    unreadable,
)
from recsys_lab.data.columns.ids import Spelling, plan_ids
from recsys_lab.data.features.first_values import from_log, presence
from recsys_lab.data.formats.delimited import SHORT, short_row_notes
from recsys_lab.data.formats.paths import require_option
from recsys_lab.data.preparation.parts import plan_parts
from recsys_lab.data.raw import PART, Features, RawData
from recsys_lab.data.sources.log_columns import (
    event_features,
    plan_events,
    plan_feature,
    wanted_columns,
)
from recsys_lab.data.sources.staged_rows import at_hand, interactions_of
from recsys_lab.data.sources.table_files import Tables

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.data.raw import FromLog, Unreadable


class Table:
    """Reads one row an event, from one file or from many of equal columns.

    Parquet is scanned by the engine itself where its columns have fitting types; other logs are
    read into memory, or streamed to Parquet when they are large.

    Args:
        config: the files and their columns.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Table`.

        Attributes:
            path: the log: .csv, .tsv, .jsonl, .ndjson, .parquet, RecBole's .inter; text also with
                .gz, .bz2, .xz, .zst. A file, a pattern such as logs/*.csv.gz (``**`` for any
                depth), a folder, or a URL of these (s3://, gs://, az://, https://; read through
                fsspec), or env:NAME for an environment variable with one of these, where it holds
                a secret, as a presigned URL does. Files are read in the order of their names
                below the folder, numbers in them compared as numbers (2.csv before 10.csv), and
                need the columns that are read; folders named day=2024-01-01 are a column ``day``.
            validation_path: of a published split, for split=given, whose training part is ``path``.
            test_path: likewise; each what ``path`` can be, null for none.
            separator: of delimited text; null: by the suffix.
            quoted: whether a quotation mark quotes in delimited text; else it is a character.
            missing_values: words that stand for a missing value, in small or capital letters;
                null: NULL, None, NaN, NA, N/A, <NA>, #N/A, backslash-N and -. What is met is
                told.
            id_normalization: differences in spelling that tell no ids apart: blanks, case,
                unicode (NFKC), decimal (100.0 is 100). Those that are met are told.
            decimal_comma: whether numbers that are text are written 1.234,5: prices, ratings,
                features; not times.
            user_column: who; integers or strings.
            item_column: what; integers or strings.
            timestamp_column: when: numbers, dates or datetimes; null where there is none. Values
                of no such form are dropped and counted, as are years outside 1 to 9999.
            timestamp_unit: of numbers; auto: by their size.
            timestamp_format: of text and whole numbers, as in strptime, e.g. %Y%m%d; null: numbers
                or ISO 8601, what most are.
            order_column: the place in the user's history, integers; alone it replaces the
                timestamp, beside one it orders events of the same time. With neither, events are
                in file order.
            event_type_column: what happened, such as view or purchase; null where all are alike.
            part_column: of a published split, for split=given, the part of every row: train(ing),
                valid(ation), val or dev, test, in small or capital letters; null for none.
            session_column: which visit the event belongs to; null for none. See
                `recsys_lab.data.preparation.event_units`.
            basket_column: which order or receipt the event belongs to; null for none. Without one
                the events of a user at one time are a basket.
            rating_column: how much it was liked, a number; null for none.
            price_column: what one piece cost; null for none.
            quantity_column: how many pieces; null for none.
            event_features: further columns of the log and their types, e.g.
                ``+data.event_features.colour=categorical``.
            item_features: columns of ``items_path`` or, without one, of the log, and their types.
                Of the log the value in an item's first training event that has one counts, first
                in time; an item without one has a missing value. Text of type list is split at
                ``|`` where any value of the column holds one, else at blanks.
            user_features: the same of ``users_path``.
            title_column: item title for people to read: a column of ``items_path`` or, without
                one, of the log; null for none.
            items_path: a table of items, all of whose columns are kept; null for none.
            items_id_column: the item id in it.
            users_path: a table of users; null for none.
            users_id_column: the user id in it.
        """

        path: str | None
        validation_path: str | None = field(default=None, kw_only=True)
        test_path: str | None = field(default=None, kw_only=True)
        separator: str | None
        quoted: bool
        missing_values: list[str] | None = field(default_factory=list, kw_only=True)
        id_normalization: list[Literal["blanks", "case", "unicode", "decimal"]] = field(
            default_factory=list, kw_only=True
        )
        decimal_comma: bool = field(default=False, kw_only=True)
        user_column: str
        item_column: str
        timestamp_column: str | None
        timestamp_unit: Literal["auto", "s", "ms", "us", "ns"]
        timestamp_format: str | None
        order_column: str | None
        event_type_column: str | None
        part_column: str | None = field(default=None, kw_only=True)
        session_column: str | None = field(default=None, kw_only=True)
        basket_column: str | None = field(default=None, kw_only=True)
        rating_column: str | None
        price_column: str | None
        quantity_column: str | None
        event_features: dict[str, Literal["categorical", "numeric", "text", "list"]]
        item_features: dict[str, Literal["categorical", "numeric", "text", "list"]]
        user_features: dict[str, Literal["categorical", "numeric", "text", "list"]]
        title_column: str | None
        items_path: str | None
        items_id_column: str
        users_path: str | None
        users_id_column: str

    def __init__(self, config: Config) -> None:
        self.config = config

    @cached_property
    def _tables(self) -> dict[str, Tables]:
        config = self.config
        require_option(config.path, "data.path", "data.path=clicks.csv")
        later = {"path": self._later()}
        return {
            option: Tables(
                path, f"data.{option}", config.separator, quoted=config.quoted,
                later=later.get(option),
            )
            for option in ("path", "items_path", "users_path")
            if (path := getattr(config, option)) is not None
        }  # fmt: skip

    def _later(self) -> dict[str, tuple[str, str]]:
        """The files of validation and test: part -> option and path."""
        paths = {part: getattr(self.config, f"{part}_path") for part in ("validation", "test")}
        found = {part: (f"data.{part}_path", path) for part, path in paths.items() if path}
        if found and (len(found) < len(paths) or self.config.part_column):
            given = ", ".join(option for option, _ in found.values())
            raise UserError(
                f"{given}: a published split has three files (data.path for training, "
                "data.validation_path and data.test_path), or one table with data.part_column"
            )
        return found

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
        log = self._tables["path"].open(folder, wanted, [config.user_column, config.item_column])
        with log.explained():
            frame = at_hand(log, scratch)
            if not one_row(frame, rows=pl.len())["rows"]:
                raise UserError(f"{log.where}: the file has a header but no rows")
            plans = plan_events(
                frame, config, log.where, untyped=log.is_text, portable=log.parquet is not None
            )
            part_rows = None
            if part is not None:
                plans[PART], part_rows = plan_parts(frame, part, log.where)
            taken, flags, odd, warnings = self._of_rows(frame, beside, log.where)
            warnings += short_row_notes(
                frame, [name for name in wanted.values() if name], log.where
            )
            if SHORT in frame.collect_schema():
                flags[SHORT] = ColumnPlan(SHORT, None, same)
            interactions = interactions_of(log, frame, plans | flags, scratch)
            keys = ("user_id", "item_id", "timestamp", "order")
            shown = [plans[name].source for name in keys if name in plans]
        odd |= unreadable(plans)
        warnings = [*log.warnings, *missing_value_notes(plans), *warnings]
        sides: dict[str, pl.DataFrame | None] = {"item": None, "user": None}
        for side in sides:
            if getattr(config, f"{side}s_path") is not None:
                sides[side], own, said = self._table(side, folder)
                odd |= own
                warnings += said
        return RawData(
            interactions, sides["item"], sides["user"], from_log=taken, unreadable=odd,
            features=features, warnings=warnings, normalizes_ids=True,
            describe_rows=partial(describe_rows, frame, shown), part_rows=part_rows,
        )  # fmt: skip

    def _features(self) -> Features:
        config = self.config
        titled = config.title_column not in (None, "title")
        if titled and "title" in config.item_features:
            raise UserError(
                f"data.item_features.title: the title is column '{config.title_column}' "
                "(data.title_column); set that to null, or give the source's column another name"
            )
        return Features(
            dict(config.item_features), dict(config.user_features), event_features(config)
        )

    def _of_log(self, side: str) -> dict[str, tuple[str, str]]:
        """Columns of items or users that the log holds: name -> option and column."""
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
        """What the rows of the log hold of items and users.

        Returns:
            Side -> column -> how it is taken; the further columns of the log that it needs; what
            columns of numbers hold besides; what is odd.
        """
        taken: dict[str, dict[str, FromLog]] = {}
        flags: dict[str, ColumnPlan] = {}
        odd: dict[str, Unreadable] = {}
        said: list[str] = []
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
            said += missing_value_notes(plans, f"{side}s.")
        return taken, flags, odd, said

    def _table(
        self, side: str, folder: Path
    ) -> tuple[pl.DataFrame, dict[str, Unreadable], list[str]]:
        """A table with id and title under their standard names; what is odd about it."""
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
            said = [*opened.warnings, *missing_value_notes(plans, f"{side}s.")]
            said += short_row_notes(frame, opened.columns, where)
            return apply_plans(frame, plans).collect(), unreadable(plans, f"{side}s."), said
