"""RecBole's atomic files: tab-separated text with a header of ``name:type``."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, did_you_mean, first_line
from recsys_lab.data.columns.column_plan import FILE, apply_plans, unreadable
from recsys_lab.data.columns.ids import Spelling, clean_ids
from recsys_lab.data.columns.missing import missing_value_note, missing_values
from recsys_lab.data.formats.delimited import SHORT, scan_delimited, short_row_notes
from recsys_lab.data.formats.text_check import TextCheck, plain_text
from recsys_lab.data.preparation.source_warnings import number_warnings
from recsys_lab.data.raw import PART, FeatureType, free_name
from recsys_lab.data.sources.log_columns import plan_numbers

logger = logging.getLogger(__name__)

TYPES: dict[str, FeatureType] = {"token": "categorical", "token_seq": "list", "float": "numeric"}
"""RecBole's types -> types of features; float_seq is left out."""


class AtomicFile:
    """An atomic file, or the parts of one: all values as text, and the types of its header.

    Args:
        file: the file; for several parts, the path that names all of them in errors.
        spelling: how values are written.
        parts: part -> file of a published split, to concatenate; None for a single file.

    Attributes:
        warnings: notes about the columns read so far.
        types: field -> its type.
        frame: all values as strings.
        beside: `FILE` and `PART` of the parts, as a frame; without columns for a single file.
        short: `SHORT` as a frame, without columns if no row has too few values.
    """

    def __init__(
        self, file: Path, spelling: Spelling, parts: Mapping[str, Path] | None = None
    ) -> None:
        self.file = file
        self.spelling = spelling
        self.warnings: list[str] = []
        where = f"data.path={file}"
        frame = _read(file) if parts is None else _read_parts(parts)
        self.types: dict[str, str] = {}
        self.short = frame.select(SHORT) if SHORT in frame.columns else frame.select()
        self.beside = frame.select(FILE, PART) if parts is not None else frame.select()
        frame = frame.drop(SHORT, FILE, PART, strict=False)
        for header in frame.columns:
            # Polars appends a number to repeated headers.
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
                    f"data.path={file}: the field '{name}' is in the header twice "
                    f"({name}:{self.types[name]} and {name}:{kind}); remove or rename one"
                )
            self.types[name] = kind
        self.frame = frame.rename(dict(zip(frame.columns, self.types, strict=True)))
        self.warnings += short_row_notes(self.marked, list(self.types), where)
        if self.frame.is_empty():
            raise UserError(f"data.path={file}: the file has a header but no rows")

    @property
    def marked(self) -> pl.LazyFrame:
        """All values, with `SHORT`, `FILE` and `PART` where they exist."""
        return self.frame.hstack(self.short).hstack(self.beside).lazy()

    def _refuse_separator(self, columns: list[str]) -> None:
        """Refuse a header whose fields are not separated by tabs."""
        if len(columns) == 1 and (
            mark := re.search(r":(?:token|float)(?:_seq)?([ ,;|]+)", columns[0])
        ):
            raise UserError(
                f"data.path={self.file}: has a single field, {columns[0]!r}: its values seem to be "
                f"separated by {mark[1]!r}; atomic files have tabs. Write tabs, or read it with "
                f"data=table data.separator='{mark[1][0]}'"
            )

    def require(self, fields: dict[str, str]) -> None:
        """Check that the file has the fields (option -> field)."""
        for option, name in fields.items():
            if name not in self.types:
                raise UserError(
                    f"data.{option}={name}: no such field{did_you_mean(name, self.types)} Fields "
                    f"of {self.file}: {', '.join(self.types)}"
                )

    def kinds(self, texts: list[str], own: set[str]) -> dict[str, FeatureType]:
        """The types of the fields that become features."""
        kinds: dict[str, FeatureType] = {}
        for name, kind in self.types.items():
            if name not in own and kind in TYPES:
                kinds[name] = "text" if name in texts else TYPES[kind]
        return kinds

    def unread(self, own: set[str]) -> list[str]:
        """The fields with unsupported types, as ``name (type)``."""
        fields = self.types.items()
        return [
            f"{name} ({kind})" for name, kind in fields if name not in own and kind not in TYPES
        ]

    def tell(self, left_out: list[str], reason: str) -> None:
        """Log which fields are not in the prepared dataset."""
        if left_out:
            logger.warning("Left out of %s: %s: %s", self.file.name, ", ".join(left_out), reason)

    def name(self, field: str, taken: Collection[str]) -> str:
        """The name of a field in the prepared dataset, which has columns of its own."""
        return free_name(field, {*taken, *self.types}) if field in taken else field

    def ids(self, name: str) -> pl.Series:
        """A field as ids."""
        where = f"data.path={self.file}"
        ids, notes = clean_ids(self.frame[name], where, untyped=True, spelling=self.spelling)
        self.warnings += notes
        return ids

    def texts(self, name: str) -> pl.Series:
        """A field as text, null where missing."""
        frame = self.frame.lazy()
        words = missing_values(frame, name, self.spelling.missing)
        if not words:
            return self.frame[name]
        self.warnings.append(missing_value_note(name, name, words))
        value = pl.col(name)
        return frame.select(pl.when(~value.is_in(list(words))).then(value)).collect()[name]

    def numbers(self, name: str) -> pl.Series:
        """A field as numbers, null where missing or (with a warning) not a number."""
        where = f"data.path={self.file}"
        frame = self.frame.lazy()
        plan = plan_numbers(frame, name, f"field {name}", where, self.spelling)
        self.warnings += number_warnings(unreadable({name: plan}))
        return apply_plans(frame, {name: plan}).collect()[name]


def _read(file: Path) -> pl.DataFrame:
    """All values of a file as strings, and `SHORT` where a row has too few."""
    where = f"data.path={file}"
    plain_text(file, "", TextCheck(where, "\t", quoted=False), file, where)
    try:
        return scan_delimited(file, "\t", None).collect()
    except PolarsError as error:
        raise UserError(
            f"{where}: cannot be read as tab-separated text: {first_line(error)}"
        ) from error


def _read_parts(parts: Mapping[str, Path]) -> pl.DataFrame:
    """The files of a published split, concatenated, with `FILE` and `PART`."""
    frames = {part: _read(file) for part, file in parts.items()}
    names = pl.Enum([file.name for file in parts.values()])
    first, *others = parts
    headers = {part: set(frame.columns) - {SHORT} for part, frame in frames.items()}
    for part in others:
        if headers[part] != headers[first]:
            fields = [", ".join(sorted(headers[name])) for name in (part, first)]
            raise UserError(
                f"data.path={parts[part]}: its header has {fields[0]}, but {parts[first].name} has "
                f"{fields[1]}; all parts must have the same fields"
            )
    return pl.concat(
        [
            frame.with_columns(
                pl.lit(parts[part].name, dtype=names).alias(FILE), pl.lit(part).alias(PART)
            )
            for part, frame in frames.items()
        ],
        how="diagonal",
    ).with_columns(pl.col("^" + SHORT + "$").fill_null(value=False))
