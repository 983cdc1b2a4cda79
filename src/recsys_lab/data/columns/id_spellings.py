"""Ids that differ only in spelling: two spellings of one user count as two users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import polars as pl

Difference = Literal["blanks", "case", "unicode", "decimal", "zeros"]

DECIMAL = r"^(-?\d+)\.0+$"
"""A whole number with a point and zeros, as pandas writes integers of a column with gaps."""

SHORTENED = r"^\s*\d([.,]\d+)?[eE]\+\d+\s*$"
"""A number in scientific notation, as spreadsheets shorten those of more than eleven digits."""

_SAME: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "blanks": lambda text: text.str.strip_chars().str.replace_all(r"\s+", " "),
    "case": lambda text: text.str.to_lowercase(),
    "unicode": lambda text: text.str.normalize("NFKC"),
    "decimal": lambda text: text.str.replace(DECIMAL, "$1"),
    "zeros": lambda text: text.str.replace(r"^0+(\d+)$", "$1"),
}
"""Difference -> the function that removes it: blanks around and within, letter case, Unicode forms
of one character (NFKC), the ``.0`` that pandas writes after integers in a column with gaps, and the
zeros before a number that programs drop which read ids as numbers."""

DIFFERENCES: tuple[str, ...] = tuple(_SAME)


def normalized(text: pl.Expr, differences: Sequence[str]) -> pl.Expr:
    """Remove differences in spelling from ids.

    Args:
        text: strings.
        differences: of `DIFFERENCES`; their order does not matter.
    """
    for difference, remove in _SAME.items():
        if difference in differences:
            text = remove(text)
    return text


def spelling_warning(ids: Any, side: str, *, normalizable: bool) -> str | None:
    """A warning if some ids differ only in spelling, else None.

    Args:
        ids: the unique ids, an Arrow array of strings.
        side: ``user`` or ``item``.
        normalizable: whether the reader has the option ``data.id_normalization``.
    """
    text = pl.col("id")
    series = pl.from_arrow(ids)
    assert isinstance(series, pl.Series)
    frame = pl.DataFrame({"id": series}).lazy()
    joined = {d: frame.select(normalized(text, [d]).n_unique()) for d in DIFFERENCES}
    joined["all"] = frame.select(normalized(text, DIFFERENCES).n_unique())
    left = [frame.item() for frame in pl.collect_all(list(joined.values()))]
    fewer = {d: len(ids) - count for d, count in zip(joined, left, strict=True)}
    if not fewer["all"]:
        return None
    key = normalized(text, DIFFERENCES).alias("key")
    groups = frame.group_by(key).agg(text).filter(pl.col("id").list.len() > 1).sort("key")
    examples = groups.head(3).collect()["id"].to_list()
    shown = "; ".join(" and ".join(map(repr, sorted(group)[:3])) for group in examples)
    alone = [d for d in DIFFERENCES if fewer[d]]
    # 'A ' and 'a' differ in two at once; decimal is on by default
    by = [d for d in DIFFERENCES if d in (alone or DIFFERENCES) or d == "decimal"]
    counts = ", ".join(f"{d}: {fewer[d]:,}" for d in alone) or "in several ways at once"
    cure = (
        f"If they are the same, set data.id_normalization=[{','.join(by)}]"
        if normalizable
        else "If they are the same, write them in one way in the source"
    )
    return (
        f"{side}s: {fewer['all']:,} of {len(ids):,} ids differ from another one in spelling only "
        f"({counts}) and count as separate {side}s, such as {shown}. {cure}"
    )
