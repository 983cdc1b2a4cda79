"""RecBole's atomic files, as they are: ``.inter``, and ``.item`` and ``.user`` where there are.

A file is tab-separated with a header of ``name:type``; types are token (categorical), token_seq
(a list, separated by blanks), float (numeric) and float_seq (not read). A field whose name the
prepared dataset needs for itself, such as ``order``, is called ``order_raw`` there.
See https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.atomic_file import AtomicFile
from recsys_lab.data.event_columns import NUMBERS
from recsys_lab.data.files import file_key, readable, require_file, require_option
from recsys_lab.data.ids import Spelling
from recsys_lab.data.raw import OWN, Features, RawData
from recsys_lab.data.times import parse_times

if TYPE_CHECKING:
    from recsys_lab.data.raw import FeatureType


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
            decimal_comma: whether numbers are written 1.234,5, as with data=table.
            user_field: who.
            item_field: what.
            time_field: when; null: the order of the file.
            rating_field: null where there is none.
            text_columns: token and token_seq columns that are texts, not categories.
            title_column: item title for people to read; null: the field ``title``, else the only
                one whose name ends in ``_title``, else in ``_name``.
        """

        path: str | None
        missing_values: list[str] | None = field(default_factory=list, kw_only=True)
        id_normalization: list[Literal["blanks", "case", "unicode", "decimal"]] = field(
            default_factory=list, kw_only=True
        )
        decimal_comma: bool = field(default=False, kw_only=True)
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
        log = AtomicFile(files[".inter"], Spelling.of(config))
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
            pl.DataFrame(columns).hstack(log.short),
            items,
            users,
            features=Features(of_items, of_users, events),
            warnings=[*log.warnings, *items_told, *users_told],
            normalizes_ids=True,
        )

    def _further(
        self, log: AtomicFile, own: set[str]
    ) -> tuple[list[pl.Series], dict[str, FeatureType]]:
        """What events have besides the fields that options name."""
        taken = {*OWN["event"], *(["rating"] if self.config.rating_field is not None else [])}
        columns: list[pl.Series] = []
        kinds: dict[str, FeatureType] = {}
        left_out = log.unread(own)
        for source, kind in log.kinds(self.config.text_columns, own).items():
            if kind not in ("categorical", "numeric"):
                left_out.append(f"{source} ({kind})")
                continue
            # Filters read these names as the other type.
            others = NUMBERS if kind == "categorical" else ("event_type",)
            name = log.name(source, taken.union(others))
            kinds[name] = kind
            values = log.numbers(source) if kind == "numeric" else log.texts(source)
            columns.append(values.alias(name))
        log.tell(left_out, "fields of events are categories or numbers")
        return columns, kinds

    def _table(
        self, file: Path | None, side: str
    ) -> tuple[pl.DataFrame | None, dict[str, FeatureType], list[str]]:
        if file is None:
            return None, {}, []
        config, table = self.config, AtomicFile(file, Spelling.of(self.config))
        key = getattr(config, f"{side}_field")
        table.require({f"{side}_field": key})
        kinds: dict[str, FeatureType] = {}
        columns = [table.ids(key).alias(f"{side}_id")]
        title = self._title(table) if side == "item" else None
        beside = title if title != "title" else None  # gets a column that is no feature
        taken = {*OWN[side], *(["title"] if beside is not None else [])}
        for source, kind in table.kinds(config.text_columns, {key}).items():
            name = table.name(source, taken)
            kinds[name] = kind
            column = table.numbers(source) if kind == "numeric" else table.texts(source)
            columns.append((column.str.split(" ") if kind == "list" else column).alias(name))
        table.tell(table.unread({key}), "float_seq is not read")
        if beside is not None:
            columns.append(table.frame[beside].alias("title"))
        return pl.DataFrame(columns), kinds, table.warnings

    def _title(self, table: AtomicFile) -> str | None:
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
