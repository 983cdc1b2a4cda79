"""Writes a run's lists and targets in TREC formats, for trec_eval, ir-measures and others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import quote

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.contracts import LIST
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.record import PER_USER, RunRecord

RUN, QRELS = "run.trec", "qrels.trec"


def write_trec(record: RunRecord, folder: Path) -> tuple[list[Path], list[str]]:
    """Write ``run.trec`` (topic Q0 item rank score tag) and ``qrels.trec`` (topic 0 item 1).

    A topic is a user or, where users have several lists (``split.target: successive``), a list
    ``USER.NUMBER`` counted from 1. Relevance is 1 for every target, so value-based metrics
    (``graded_ndcg``) cannot be computed from the files.

    Ids are raw ids. Whitespace and ``%`` in ids and in the run's name are percent-encoded (RFC
    3986, UTF-8), as whitespace separates fields. Scores only express the order. A topic with an
    empty list is only in the qrels: call trec_eval with ``-c``.

    Args:
        record: of a run with a test result.
        folder: an existing folder; existing files are overwritten.

    Returns:
        The files, and notes for their readers.

    Raises:
        UserError: the run has no test result, or its file is damaged or lacks raw ids.
    """
    rows = _rows(record)
    written = {text: _field(text) for text in _ids(rows)}
    topic, notes = pl.col("user_id").replace_strict(written), []
    if LIST in rows.columns:
        topic = pl.concat_str(topic, pl.lit("."), pl.col(LIST) + 1)
        notes.append(_of_topics(over_lists="mean_over" in record.values["protocol"]["fields"]))
    rows = rows.with_columns(topic=topic)
    lists = (
        rows.unique("topic", keep="first", maintain_order=True)
        .select("topic", item_id="item_ids", length=pl.col("item_ids").list.len())
        .with_columns(rank=pl.int_ranges(1, pl.col("length") + 1))
        .filter(pl.col("length") > 0)
        .explode("item_id", "rank")
    )
    files = {
        RUN: lists.select(
            "topic",
            q0=pl.lit("Q0"),
            item=pl.col("item_id").replace_strict(written),
            rank="rank",
            score=pl.col("length") - pl.col("rank") + 1,
            tag=pl.lit(_field(str(record.values["name"])) or "run"),
        ),
        QRELS: rows.select("topic", "target_id")
        .unique(maintain_order=True)
        .select(
            "topic",
            iteration=pl.lit(0),
            item=pl.col("target_id").replace_strict(written),
            relevance=pl.lit(1),
        ),
    }
    for name, frame in files.items():
        write = partial(frame.write_csv, separator=" ", include_header=False, quote_style="never")
        replace_atomically(folder / name, write)
    if encoded := sum(text != field for text, field in written.items()):
        notes.append(f"{encoded:,} ids contain whitespace or %, percent-encoded in the files")
    notes.append(
        "relevance is 1 for every target: value-based metrics (graded_ndcg) cannot be computed "
        "from the files"
    )
    return [folder / name for name in files], notes


def _rows(record: RunRecord) -> pl.DataFrame:
    """One row per topic and target, in order; raises as `write_trec`."""
    if "windows" in record.values:
        raise UserError(
            f"{record.folder}: a rolling back-test; give one of its windows, which are runs, e.g. "
            f"{record.folder / 'window_0'}"
        )
    if not record.done or not record.values.get("test"):
        raise UserError(f"{record.folder}: has no test result, so there is nothing to write")
    rows = record.table(PER_USER)
    if not {"user_id", "target_id", "item_ids"} <= set(rows.columns):
        raise UserError(
            f"{record.folder / PER_USER}: of an older version, without raw ids; train its config "
            "again in another run_dir"
        )
    return rows


def _ids(rows: pl.DataFrame) -> pl.Series:
    """Raw ids of users and items, each once."""
    shown = rows["item_ids"].explode().drop_nulls()
    return pl.concat([rows["user_id"], rows["target_id"], shown]).unique()


def _of_topics(*, over_lists: bool) -> str:
    mean = (
        "the mean over topics is the run's (evaluation.mean_over=lists)"
        if over_lists
        else "the run's metric is the mean over users of each user's mean over topics, not the "
        "mean over all topics"
    )
    return f"users have several lists: a topic is a list, USER.NUMBER (from 1); {mean}"


def _field(text: str) -> str:
    """The text without whitespace; different texts stay different."""
    return "".join(quote(c, safe="") if c.isspace() or c == "%" else c for c in text)
