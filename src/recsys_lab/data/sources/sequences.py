"""One user per line, ``user item item ...``, oldest first: the format of S3-Rec's data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.ids import numbers_if_alike
from recsys_lab.data.formats.paths import file_key, require_file, require_option
from recsys_lab.data.raw import RawData


class Sequences:
    """Reads whitespace-separated histories; several lines of a user are joined in file order.

    Args:
        config: the file.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Sequences`.

        Attributes:
            path: the text file, UTF-8.
        """

        path: str | None

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the file."""
        path = require_option(self.config.path, "data.path", "data.path=Beauty.txt")
        return {"path": file_key(require_file(path, "data.path"))}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the file."""
        del scratch
        path = require_option(self.config.path, "data.path", "data.path=Beauty.txt")
        file = require_file(path, "data.path")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(
                f"data.path={file}: is not UTF-8 text (byte {error.start}); expected 'user item "
                "item ...' on each line"
            ) from error
        lines = pl.DataFrame({"line": text.split("\n")}).select(
            pl.col("line").str.strip_chars().str.replace_all(r"\s+", " ")
        )
        words = lines.filter(pl.col("line") != "").select(pl.col("line").str.split(" "))
        frame = words.select(
            user_id=pl.col("line").list.first(), item_id=pl.col("line").list.slice(1)
        )
        alone = frame.filter(pl.col("item_id").list.len() == 0)
        if len(alone) == len(frame):
            first = alone["user_id"][0] if len(alone) else ""
            raise UserError(
                f"data.path={file}: no line is 'user item item ...' separated by spaces or tabs; "
                f"the first is {first!r}. For tables with a header use data=table"
            )
        # Parsed as numbers before the lists are exploded: once per user, not once per event.
        users = numbers_if_alike(frame["user_id"])
        frame = frame.with_columns(users).filter(pl.col("item_id").list.len() > 0)
        events = frame.explode("item_id")
        events = events.with_columns(numbers_if_alike(events["item_id"]))
        return RawData(events, dropped={"line with a user and no item": len(alone)})
