"""RecBole's atomic files: ``.inter``, and ``.item`` and ``.user`` where they exist.

A file is tab-separated with a header of ``name:type``; types are token (categorical), token_seq
(a list, separated by blanks), float (numeric) and float_seq (not read). A field with a name that
the prepared dataset reserves, such as ``order``, is called ``order_raw`` there.
See https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import apply_plans, describe_rows
from recsys_lab.data.columns.ids import Spelling
from recsys_lab.data.columns.timestamps import parse_times
from recsys_lab.data.formats.atomic_file import AtomicFile
from recsys_lab.data.formats.paths import file_key, readable, require_file, require_option
from recsys_lab.data.preparation.parts import plan_parts
from recsys_lab.data.raw import OWN, PART, Features, FeatureType, RawData
from recsys_lab.data.sources.log_columns import NUMBERS
from recsys_lab.data.sources.options import SpellingOptions

SPLIT = {"train": ".train.inter", "validation": ".valid.inter", "test": ".test.inter"}
"""Part -> suffix of its file in a published split."""


class RecBole:
    """Reads a folder of atomic files; every column becomes a feature.

    Args:
        config: the folder and the names of its fields.
    """

    @dataclass(frozen=True)
    class Config(SpellingOptions):
        """Options of `RecBole`.

        Attributes:
            path: the folder with one ``.inter`` file, or that file; or with the three of a
                published split, NAME.train.inter, NAME.valid.inter and NAME.test.inter, for
                split=given.
            user_field: field of user ids.
            item_field: field of item ids.
            time_field: field of times; null: the order of the file.
            rating_field: field of ratings; null for none.
            text_columns: token and token_seq fields that are texts, not categories.
            title_column: readable title of an item; null: the field ``title``, else the only one
                whose name ends in ``_title``, else in ``_name``.
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
        parts = {part: files[suffix] for part, suffix in SPLIT.items() if suffix in files}
        log_path = files[".inter"] if not parts else _together(files)
        log = AtomicFile(log_path, Spelling.of(config), parts or None)
        options = ("user_field", "item_field", "time_field")
        fields = {option: getattr(config, option) for option in options}
        log.require({name: field for name, field in fields.items() if field is not None})
        if config.rating_field is not None and config.rating_field not in log.types:
            log.require({"rating_field": config.rating_field})
        _refuse_sequences(log, config.item_field)
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
        items, of_items, item_notes = self._table(files.get(".item"), "item")
        users, of_users, user_notes = self._table(files.get(".user"), "user")
        shown = [field for field in fields.values() if field is not None]
        interactions, part_rows = pl.DataFrame(columns).hstack(log.short), None
        if parts:
            plan, part_rows = plan_parts(log.marked, PART, f"data.path={log_path}")
            interactions = interactions.hstack(apply_plans(log.marked, {PART: plan}).collect())
        return RawData(
            interactions,
            items,
            users,
            features=Features(of_items, of_users, events),
            warnings=[*log.warnings, *item_notes, *user_notes],
            normalizes_ids=True,
            describe_rows=partial(describe_rows, log.marked, shown) if parts else None,
            part_rows=part_rows,
        )

    def _further(
        self, log: AtomicFile, own: set[str]
    ) -> tuple[list[pl.Series], dict[str, FeatureType]]:
        """Features of events: the fields that no option names."""
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
        beside = title if title != "title" else None  # gets a column that is not a feature
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
        """The field of readable titles; it changes neither features nor the fingerprint."""
        if self.config.title_column is not None:
            table.require({"title_column": self.config.title_column})
            return self.config.title_column
        if "title" in table.types:
            return "title"
        for ending in ("_title", "_name"):
            texts = (name for name, kind in table.types.items() if kind in ("token", "token_seq"))
            fields = [name for name in texts if name.endswith(ending)]
            if fields:
                return fields[0] if len(fields) == 1 else None
        return None

    def _files(self) -> dict[str, Path]:
        path = require_option(self.config.path, "data.path", "data.path=ml-100k")
        given = Path(path).expanduser()
        with readable(f"data.path={path}"):
            inside = sorted(given.iterdir()) if given.is_dir() else None
        if inside is not None:
            logs = [file for file in inside if file.suffix == ".inter"]
            parts = _parts(logs)
            if parts:
                return {**parts, **_tables(_together(parts))}
            if len(logs) != 1:
                names = ", ".join(file.name for file in logs or inside[:8])
                raise UserError(
                    f"data.path={path}: expected one .inter file, got {len(logs)}"
                    f"{'. It holds: ' if not logs else ': '}{names or 'nothing'}"
                    f"{'; name one of them' if logs else ''}"
                )
            given = logs[0]
        return {".inter": require_file(given, "data.path"), **_tables(given)}


def _parts(logs: list[Path]) -> dict[str, Path]:
    """Files of a published split by suffix; empty if the folder is not a published split.

    Raises:
        UserError: if one of the three is missing.
    """
    suffixes = {file: "".join(file.suffixes[-2:]) for file in logs}
    names = {file.name.removesuffix(suffix) for file, suffix in suffixes.items()}
    if not logs or len(names) > 1 or not set(suffixes.values()) <= set(SPLIT.values()):
        return {}
    files = {suffix: require_file(file, "data.path") for file, suffix in suffixes.items()}
    missing = [names.copy().pop() + suffix for suffix in SPLIT.values() if suffix not in files]
    if missing:
        raise UserError(
            f"data.path={logs[0].parent}: {' and '.join(missing)} of a published split is missing; "
            f"it holds {', '.join(file.name for file in logs)}. split=given needs all three; for "
            "another split name one file"
        )
    return {suffix: files[suffix] for suffix in SPLIT.values()}


def _together(parts: dict[str, Path]) -> Path:
    """A path that names the files of all parts, with the suffix of a log."""
    first = parts[SPLIT["train"]]
    return first.with_name(first.name.removesuffix(SPLIT["train"]) + ".inter")


def _tables(log: Path) -> dict[str, Path]:
    """The tables beside a log, by suffix."""
    files = {suffix: log.with_suffix(suffix) for suffix in (".item", ".user")}
    return {
        suffix: require_file(file, "data.path") for suffix, file in files.items() if file.exists()
    }


def _refuse_sequences(log: AtomicFile, item_field: str) -> None:
    """Refuse files whose rows are not events: RecBole's augmented sequences."""
    listed = f"{item_field}_list"
    if log.types.get(listed) == "token_seq":
        raise UserError(
            f"data.path={log.file}: the field '{listed}' holds whole histories, each with its "
            "target: sequences that were made for training, not events. The lab makes those "
            "itself; pass the log with one event per row"
        )
