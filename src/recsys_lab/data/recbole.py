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
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.data.checked import TextCheck, plain_text
from recsys_lab.data.event_columns import NUMBERS
from recsys_lab.data.files import did_you_mean, file_key, readable, require_file, require_option
from recsys_lab.data.ids import clean_ids
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
            user_field: who.
            item_field: what.
            time_field: when; null: the order of the file.
            rating_field: null where there is none.
            text_columns: token and token_seq columns that are texts, not categories.
            title_column: item title for people to read; null: the field ``title``, else the only
                one whose name ends in ``_title``, else in ``_name``.
        """

        path: str | None
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
        log = _Atomic(files[".inter"])
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
        items, of_items = self._table(files.get(".item"), "item")
        users, of_users = self._table(files.get(".user"), "user")
        features = Features(of_items, of_users, events)
        return RawData(pl.DataFrame(columns), items, users, features=features)

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
            values = log.numbers(field) if kind == "numeric" else log.frame[field]
            columns.append(values.alias(name))
        log.tell(left_out, "fields of events are categories or numbers")
        return columns, kinds

    def _table(
        self, file: Path | None, side: str
    ) -> tuple[pl.DataFrame | None, dict[str, FeatureType]]:
        if file is None:
            return None, {}
        config, table = self.config, _Atomic(file)
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
            column = table.numbers(field) if kind == "numeric" else table.frame[field]
            columns.append((column.str.split(" ") if kind == "list" else column).alias(name))
        table.tell(table.unread({key}), "float_seq is not read")
        if beside is not None:
            columns.append(table.frame[beside].alias("title"))
        return pl.DataFrame(columns), kinds

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
    """One atomic file: all values as text, and the types of its header."""

    def __init__(self, file: Path) -> None:
        self.file = file
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
        return clean_ids(self.frame[name], f"data.path={self.file}", untyped=True)

    def numbers(self, name: str) -> pl.Series:
        """A field as numbers, null where blank."""
        text = self.frame[name].str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False)
        wrong = numbers.is_null() & (text != "").fill_null(False)
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise UserError(
                f"data.path={self.file}: field '{name}' is of type {self.types[name]} but holds "
                f"{text[row]!r} in row {row + 1}"
            )
        return numbers
