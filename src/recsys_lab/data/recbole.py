"""RecBole's atomic files, as they are: ``.inter``, and ``.item`` and ``.user`` where there are.

A file is tab-separated with a header of ``name:type``; types are token (categorical), token_seq
(a list, separated by blanks), float (numeric) and float_seq (not read). A field whose name the
prepared dataset needs for itself, such as ``order``, is called ``order_raw`` there.
See https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.data.checked import TextCheck, plain_text
from recsys_lab.data.doubts import doubt_numbers
from recsys_lab.data.event_columns import NUMBERS, plan_numbers
from recsys_lab.data.files import did_you_mean, file_key, readable, require_file, require_option
from recsys_lab.data.ids import Spelling, clean_ids
from recsys_lab.data.missing import missing_values, told_missing
from recsys_lab.data.plans import apply_plans, unreadable
from recsys_lab.data.raw import OWN, Features, RawData, free_name
from recsys_lab.data.times import parse_times

if TYPE_CHECKING:
    from collections.abc import Collection

    from recsys_lab.data.raw import FeatureType

logger = logging.getLogger(__name__)

TYPES: dict[str, FeatureType] = {"token": "categorical", "token_seq": "list", "float": "numeric"}
"""RecBole's types and what they become; float_seq is left out."""


class RecBole:
    """Reads a folder of atomic files; every column becomes a feature.

    Args:
        config: the folder and the names of its fields.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `RecBole`.

        Attributes:
            path: the folder with one ``.inter`` file, or that file.
            missing_values: words that stand for a missing value; null: the common ones, as with
                data=table.
            id_normalization: differences in spelling that tell no ids apart, as with data=table.
            user_field: who.
            item_field: what.
            time_field: when; null: the order of the file.
            rating_field: null where there is none.
            text_columns: token and token_seq columns that are texts, not categories.
            title_column: item title for people to read; null: the field ``title``, else the only
                one whose name ends in ``_title``, else in ``_name``.
        """

        path: str | None
        missing_values: list[str] | None
        id_normalization: list[Literal["blanks", "case", "unicode", "decimal"]]
        user_field: str
        item_field: str
        time_field: str | None
        rating_field: str | None
        text_columns: list[str]
        title_column: str | None

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the files."""
        return {suffix: file_key(file) for suffix, file in self._files().items()}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the files."""
        del scratch
        config, files = self.config, self._files()
        log = _Atomic(files[".inter"], Spelling.of(config))
        fields = {"user_field": config.user_field, "item_field": config.item_field,
                  "time_field": config.time_field}  # fmt: skip
        log.require({name: field for name, field in fields.items() if field is not None})
        if config.rating_field is not None and config.rating_field not in log.types:
            log.require({"rating_field": config.rating_field})
        own = {field for field in (*fields.values(), config.rating_field) if field is not None}
        columns = [
            log.ids(config.user_field).alias("user_id"),
            log.ids(config.item_field).alias("item_id"),
        ]
        if config.time_field is not None:
            seconds, finer = parse_times(log.numbers(config.time_field), log.file)
            columns += [seconds] if finer is None else [seconds, finer]
        further, events = self._further(log, own)
        columns += further
        if config.rating_field is not None:
            columns.append(log.numbers(config.rating_field).alias("rating"))
            events["rating"] = "numeric"
        items, of_items, items_told = self._table(files.get(".item"), "item")
        users, of_users, users_told = self._table(files.get(".user"), "user")
        return RawData(
            pl.DataFrame(columns),
            items,
            users,
            features=Features(of_items, of_users, events),
            warnings=[*log.warnings, *items_told, *users_told],
            normalizes_ids=True,
        )

    def _further(
        self, log: _Atomic, own: set[str]
    ) -> tuple[list[pl.Series], dict[str, FeatureType]]:
        """What events have besides the fields that options name."""
        taken = {*OWN["event"], *(["rating"] if self.config.rating_field is not None else [])}
        columns: list[pl.Series] = []
        kinds: dict[str, FeatureType] = {}
        left_out = log.unread(own)
        for field, kind in log.kinds(self.config.text_columns, own).items():
            if kind not in ("categorical", "numeric"):
                left_out.append(f"{field} ({kind})")
                continue
            # Filters read these names as the other type.
            others = NUMBERS if kind == "categorical" else ("event_type",)
            name = log.name(field, taken.union(others))
            kinds[name] = kind
            values = log.numbers(field) if kind == "numeric" else log.texts(field)
            columns.append(values.alias(name))
        log.tell(left_out, "fields of events are categories or numbers")
        return columns, kinds

    def _table(
        self, file: Path | None, side: str
    ) -> tuple[pl.DataFrame | None, dict[str, FeatureType], list[str]]:
        if file is None:
            return None, {}, []
        config, table = self.config, _Atomic(file, Spelling.of(self.config))
        key = getattr(config, f"{side}_field")
        table.require({f"{side}_field": key})
        kinds: dict[str, FeatureType] = {}
        columns = [table.ids(key).alias(f"{side}_id")]
        title = self._title(table) if side == "item" else None
        beside = title if title != "title" else None  # gets a column that is no feature
        taken = {*OWN[side], *(["title"] if beside is not None else [])}
        for field, kind in table.kinds(config.text_columns, {key}).items():
            name = table.name(field, taken)
            kinds[name] = kind
            column = table.numbers(field) if kind == "numeric" else table.texts(field)
            columns.append((column.str.split(" ") if kind == "list" else column).alias(name))
        table.tell(table.unread({key}), "float_seq is not read")
        if beside is not None:
            columns.append(table.frame[beside].alias("title"))
        return pl.DataFrame(columns), kinds, table.warnings

    def _title(self, table: _Atomic) -> str | None:
        """The field that items are shown by; it changes no feature and no fingerprint."""
        if self.config.title_column is not None:
            table.require({"title_column": self.config.title_column})
            return self.config.title_column
        if "title" in table.types:
            return "title"
        for ending in ("_title", "_name"):
            fields = [name for name, kind in table.types.items()
                      if name.endswith(ending) and kind in ("token", "token_seq")]  # fmt: skip
            if fields:
                return fields[0] if len(fields) == 1 else None
        return None

    def _files(self) -> dict[str, Path]:
        path = require_option(self.config.path, "data.path", "data.path=ml-100k")
        place = Path(path).expanduser()
        with readable(f"data.path={path}"):
            inside = sorted(place.iterdir()) if place.is_dir() else None
        if inside is not None:
            logs = [file for file in inside if file.suffix == ".inter"]
            if len(logs) != 1:
                names = ", ".join(file.name for file in logs or inside[:8])
                raise UserError(
                    f"data.path={path}: one .inter file is needed, it has {len(logs)}"
                    f"{'. It holds: ' if not logs else ': '}{names or 'nothing'}"
                    f"{'; name one of them' if logs else ''}"
                )
            place = logs[0]
        found = {".inter": require_file(place, "data.path")}
        for suffix in (".item", ".user"):
            beside = place.with_suffix(suffix)
            if beside.exists():
                found[suffix] = require_file(beside, "data.path")
        return found


class _Atomic:
    """One atomic file: all values as text, and the types of its header.

    Attributes:
        warnings: what was odd about the columns that were read.
    """

    def __init__(self, file: Path, spelling: Spelling) -> None:
        self.file = file
        self.spelling = spelling
        self.warnings: list[str] = []
        where = f"data.path={file}"
        plain_text(file, "", TextCheck(where, "\t", quoted=False), file, where)
        try:
            frame = pl.read_csv(
                file, separator="\t", quote_char=None, infer_schema=False, glob=False
            )
        except PolarsError as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"data.path={file}: cannot be read as tab-separated text: {reason}"
            ) from error
        self.types: dict[str, str] = {}
        for header in frame.columns:
            # Polars tells equal headers apart with a number.
            name, colon, kind = re.sub(r"_duplicated_\d+$", "", header).rpartition(":")
            self._refuse_separator(frame.columns)
            if not colon or kind not in (*TYPES, "float_seq"):
                raise UserError(
                    f"data.path={file}: the header '{header}' has no type; atomic files have "
                    "'name:type' with type token, token_seq, float or float_seq. For other "
                    "tables use data=table"
                )
            if name in self.types:
                raise UserError(
                    f"data.path={file}: the field '{name}' stands twice in the header "
                    f"({name}:{self.types[name]} and {name}:{kind}); take one out or give it "
                    "another name"
                )
            self.types[name] = kind
        self.frame = frame.rename(dict(zip(frame.columns, self.types, strict=True)))
        if self.frame.is_empty():
            raise UserError(f"data.path={file}: the file has a header but no rows")

    def _refuse_separator(self, columns: list[str]) -> None:
        """A header of several fields without a tab between them."""
        if len(columns) == 1 and (
            mark := re.search(r":(?:token|float)(?:_seq)?([ ,;|]+)", columns[0])
        ):
            raise UserError(
                f"data.path={self.file}: has a single field, {columns[0]!r}: its values seem to be "
                f"separated by {mark[1]!r}; atomic files have tabs. Write tabs, or read it with "
                f"data=table data.separator='{mark[1][0]}'"
            )

    def require(self, fields: dict[str, str]) -> None:
        """Check that fields are there."""
        for option, name in fields.items():
            if name not in self.types:
                raise UserError(
                    f"data.{option}={name}: no such field.{did_you_mean(name, self.types)} Fields "
                    f"of {self.file}: {', '.join(self.types)}"
                )

    def kinds(self, texts: list[str], own: set[str]) -> dict[str, FeatureType]:
        """The features among the fields."""
        found: dict[str, FeatureType] = {}
        for name, kind in self.types.items():
            if name not in own and kind in TYPES:
                found[name] = "text" if name in texts else TYPES[kind]
        return found

    def unread(self, own: set[str]) -> list[str]:
        """The fields whose type becomes nothing, for people."""
        return [f"{name} ({kind})" for name, kind in self.types.items()
                if name not in own and kind not in TYPES]  # fmt: skip

    def tell(self, left_out: list[str], reason: str) -> None:
        """Say which fields are not in the prepared dataset."""
        if left_out:
            logger.warning("Left out of %s: %s: %s", self.file.name, ", ".join(left_out), reason)

    def name(self, field: str, taken: Collection[str]) -> str:
        """What a field is called in the prepared dataset, which has columns of its own."""
        return free_name(field, {*taken, *self.types}) if field in taken else field

    def ids(self, name: str) -> pl.Series:
        """A field as ids."""
        where = f"data.path={self.file}"
        ids, told = clean_ids(self.frame[name], where, untyped=True, spelling=self.spelling)
        self.warnings += told
        return ids

    def texts(self, name: str) -> pl.Series:
        """A field as text, null where missing."""
        frame = self.frame.lazy()
        found = missing_values(frame, name, self.spelling.missing)
        if not found:
            return self.frame[name]
        self.warnings.append(told_missing(name, name, found))
        value = pl.col(name)
        return frame.select(pl.when(~value.is_in(list(found))).then(value)).collect()[name]

    def numbers(self, name: str) -> pl.Series:
        """A field as numbers, null where there is none; other values are told of."""
        where = f"data.path={self.file}"
        frame = self.frame.lazy()
        plan = plan_numbers(frame, name, f"field {name}", where, self.spelling.missing)
        self.warnings += doubt_numbers(unreadable({name: plan}))
        return apply_plans(frame, {name: plan}).collect()[name]
