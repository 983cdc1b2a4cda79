"""A run's lists and targets in the formats of TREC, for trec_eval, ir-measures and the like."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.record import PER_USER

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.runs.record import RunRecord

RUN, QRELS = "run.trec", "qrels.trec"


def write_trec(record: RunRecord, folder: Path) -> tuple[list[Path], int]:
    """Write ``run.trec`` (user Q0 item rank score tag) and ``qrels.trec`` (user 0 item 1).

    Ids are raw ones. Blanks end a field, so blanks and ``%`` in ids and in the run's name are
    percent-encoded (RFC 3986, UTF-8). Scores fall by 1 from place to place: they say the order and
    nothing else. A user with an empty list is in the qrels alone: tell trec_eval ``-c``.

    Args:
        record: of a run with a test result.
        folder: an existing folder; files of these names are replaced.

    Returns:
        The files, and how many ids were encoded.

    Raises:
        UserError: the run has no test, or its file is damaged, or lacks raw ids.
    """
    if "windows" in record.values:
        raise UserError(
            f"{record.folder}: a rolling back-test; its windows are runs of their own: give one "
            f"of them, e.g. {record.folder / 'window_0'}"
        )
    if not record.done or not record.values.get("test"):
        raise UserError(f"{record.folder}: has no test result, so there is nothing to write")
    rows = record.table(PER_USER)
    if not {"user_id", "target_id", "item_ids"} <= set(rows.columns):
        raise UserError(
            f"{record.folder / PER_USER}: of an older version, without raw ids; write it anew with "
            f"recsys-lab evaluate {record.folder} output=FOLDER, or train again"
        )
    targets = rows.select("user_id", "target_id").unique(maintain_order=True)
    lists = (
        rows.unique("user", keep="first", maintain_order=True)
        .select("user_id", item_id="item_ids", length=pl.col("item_ids").list.len())
        .with_columns(rank=pl.int_ranges(1, pl.col("length") + 1))
        .filter(pl.col("length") > 0)
        .explode("item_id", "rank")
    )  # fmt: skip
    ids = pl.concat([targets["user_id"], targets["target_id"], lists["item_id"]]).unique()
    written = {text: _field(text) for text in ids}
    files = {
        RUN: lists.select(
            pl.col("user_id").replace_strict(written), q0=pl.lit("Q0"),
            item=pl.col("item_id").replace_strict(written), rank="rank",
            score=pl.col("length") - pl.col("rank") + 1,
            tag=pl.lit(_field(str(record.values["name"])) or "run"),
        ),
        QRELS: targets.select(
            pl.col("user_id").replace_strict(written), iteration=pl.lit(0),
            item=pl.col("target_id").replace_strict(written), relevance=pl.lit(1),
        ),
    }  # fmt: skip
    for name, frame in files.items():
        replace_atomically(folder / name, partial(_write, frame))
    encoded = sum(text != field for text, field in written.items())
    return [folder / name for name in files], encoded


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path, separator=" ", include_header=False, quote_style="never")


def _field(text: str) -> str:
    """Without blanks, and another text for each text."""
    return "".join(quote(c, safe="") if c.isspace() or c == "%" else c for c in text)
