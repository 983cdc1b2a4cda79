"""What codes are like: how many items share them, how evenly they are used, what they agree with.

A *prefix* of length l is the codes of levels 1 to l. Everything is of all items; events and
co-occurrence are of the training part alone.

Shapes: V items, L levels, P pairs of events.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN
from recsys_lab.data.splits.ranges import range_chunks
from recsys_lab.pages.number_format import number
from recsys_lab.semantic_ids.duplicates import tuples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.semantic_ids.base import Codes

    Ints = NDArray[np.int64]

SHOWN_PREFIXES, SHOWN_TITLES = 10, 6
_FEW_LIVE = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prefixes:
    """Prefixes of one length.

    Attributes:
        length: l.
        of_V: number of each item's prefix, (V,).
        parent_V: the same of the prefix that is one shorter.
    """

    length: int
    of_V: Ints
    parent_V: Ints


def diagnose(
    codes: Codes,
    before: Codes,
    data: PreparedDataset,
    vectors_VE: NDArray[np.float32] | None,
) -> dict[str, Any]:
    """The diagnostics, as JSON values.

    Args:
        codes: of all items.
        before: the same without the level that tells duplicates apart.
        data: the prepared dataset.
        vectors_VE: what was quantised, if anything.
    """
    counts_V = data.training_item_counts()
    prefixes = _prefixes(before.codes_VL)
    pairs = _neighbours(data)
    return {
        "items": data.num_items,
        "items_with_training_events": int((counts_V > 0).sum()),
        "collisions": _shared(before.codes_VL),
        "shared": _shared(codes.codes_VL),
        "levels": [_level(codes, p, counts_V) for p in _prefixes(codes.codes_VL)],
        "categories": [_agreement(name, prefixes, data) for name in _category_columns(data)],
        "neighbours": [_neighbour_lift(p, *pairs) for p in prefixes] if len(pairs[0]) else [],
        "examples": _examples(before.codes_VL[:, 0], data, counts_V, vectors_VE),
        "learned": dict(codes.notes),
    }


def refuse_collapsed(
    codes: Codes, vectors_VE: NDArray[np.float32] | None, is_known_V: NDArray[np.bool_]
) -> None:
    """Refuse codes that tell no items apart though their vectors do; warn of many dead codes.

    Raises:
        UserError: all items with training events have the same codes.
    """
    known_NL = codes.codes_VL[is_known_V]
    if vectors_VE is not None and (known_NL == known_NL[0]).all():
        raise UserError(
            f"semantic_ids: the codes have collapsed: all {number(len(known_NL))} items with "
            "training events have the same ones, though their vectors differ; use another seed, a "
            "lower learning rate, or semantic_ids=residual_kmeans"
        )
    for level, size in enumerate(codes.num_codes):
        live = len(np.unique(known_NL[:, level]))
        if live < _FEW_LIVE * size:
            _log.warning(
                "semantic_ids: only %s of the %s codes of level %s have an item",
                number(live),
                number(size),
                level + 1,
            )


def summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """The few numbers that a run's record has of its codes."""
    found = manifest["diagnostics"]
    levels = found["levels"]
    return {
        "name": manifest["name"],
        "fingerprint": manifest["fingerprint"],
        "num_codes": manifest["num_codes"],
        "live_codes": [level["live_share"] for level in levels],
        "perplexity": [level["perplexity"] for level in levels],
        "collisions": found["collisions"]["share"],
        "items_sharing_codes": found["shared"]["share"],
        "largest_group": found["shared"]["largest"],
    }


def _prefixes(codes_VL: Ints) -> list[_Prefixes]:
    found, parent_V = [], np.zeros(len(codes_VL), dtype=np.int64)
    for length in range(1, codes_VL.shape[1] + 1):
        of_V = tuples(codes_VL[:, :length])
        found.append(_Prefixes(length, of_V, parent_V))
        parent_V = of_V
    return found


def _shared(codes_VL: Ints) -> dict[str, Any]:
    """How many items have codes that another item has, too."""
    group_V = tuples(codes_VL)
    sizes = np.bincount(group_V)
    items = int((sizes[group_V] > 1).sum())
    return {"items": items, "share": items / len(group_V), "largest": int(sizes.max())}


def _level(codes: Codes, prefixes: _Prefixes, counts_V: Ints) -> dict[str, Any]:
    """One level: its codes, and the prefixes that end in it."""
    size = codes.num_codes[prefixes.length - 1]
    used_C = np.bincount(codes.codes_VL[:, prefixes.length - 1], minlength=size)
    events_C = np.bincount(codes.codes_VL[:, prefixes.length - 1], weights=counts_V, minlength=size)
    _, first = np.unique(prefixes.of_V, return_index=True)
    children = np.bincount(prefixes.parent_V[first])
    return {
        "codes": size,
        "live": int((used_C > 0).sum()),
        "live_share": float((used_C > 0).mean()),
        "perplexity": float(np.exp(_entropy(used_C))),
        "largest_items_share": float(used_C.max() / used_C.sum()),
        "events_perplexity": float(np.exp(_entropy(events_C))),
        "largest_events_share": float(events_C.max() / events_C.sum()),
        "prefixes": len(first),
        "mean_fan_out": float(children.mean()),
        "largest_fan_out": int(children.max()),
        "items_by_code": sorted(used_C.tolist(), reverse=True),
    }


def _entropy(counts: NDArray[Any]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _category_columns(data: PreparedDataset) -> list[str]:
    """Item columns with at least two categories, and at most half as many as items."""
    columns = [name for name in data.features.names() if name.startswith("item.")]
    return [
        name
        for name in columns
        if data.features.entry(name)["type"] in ("categorical", "list")
        and 2 <= data.features.entry(name)["cardinality"] - FIRST_KNOWN <= data.num_items / 2
    ]


def _agreement(name: str, prefixes: Sequence[_Prefixes], data: PreparedDataset) -> dict[str, Any]:
    """Normalised mutual information of prefixes with a column; of a list, with its first value.

    Long prefixes agree with anything; how much is known from prefixes shuffled among the items.
    """
    column: Any = data.features.column(name)
    values_V = np.zeros(data.num_items, dtype=np.int64)
    if data.features.entry(name)["type"] == "list":
        has_any = np.diff(column[1]) > 0
        values_V[has_any] = column[0][column[1][:-1][has_any]]
    else:
        values_V[:] = column
    is_known_V = values_V >= FIRST_KNOWN
    shuffle = np.random.default_rng(0).permutation(int(is_known_V.sum()))
    levels = []
    for prefix in prefixes:
        of, value = prefix.of_V[is_known_V], values_V[is_known_V]
        levels.append({"nmi": nmi(of, value), "by_chance": nmi(of[shuffle], value)})
    return {"column": name, "items": int(is_known_V.sum()), "levels": levels}


def nmi(a: Ints, b: Ints) -> float:
    """Normalised mutual information of two groupings, over the mean of their entropies: 0 to 1."""
    both = _entropy(np.unique(np.stack([a, b]), axis=1, return_counts=True)[1])
    alone = [_entropy(np.unique(x, return_counts=True)[1]) for x in (a, b)]
    mean = sum(alone) / 2
    return (sum(alone) - both) / mean if mean > 0 else 1.0


def _neighbours(data: PreparedDataset) -> tuple[Ints, Ints]:
    """Pairs of different items that follow each other in a training history, (P,) each."""
    _, starts, ends = np.asarray(data.segments("train")).T
    left, right = [], []
    for places in range_chunks(starts, np.maximum(ends - 1, starts)):
        before, after = data.items[places], data.items[places + 1]
        left.append(before[before != after].astype(np.int64))
        right.append(after[before != after].astype(np.int64))
    none = np.zeros(0, dtype=np.int64)
    return np.concatenate([none, *left]), np.concatenate([none, *right])


def _neighbour_lift(prefixes: _Prefixes, left_P: Ints, right_P: Ints) -> dict[str, Any]:
    """How often neighbours in a history share a prefix, and how often they would by chance."""
    of_V = prefixes.of_V
    share = float((of_V[left_P] == of_V[right_P]).mean())
    sides = [np.bincount(of_V[side], minlength=of_V.max() + 1) for side in (left_P, right_P)]
    # Two different items: by chance, without the pairs of an item with itself.
    alike = [np.bincount(side, minlength=len(of_V)) for side in (left_P, right_P)]
    same = float((alike[0] / len(left_P) * (alike[1] / len(left_P))).sum())
    chance = float((sides[0] / len(left_P) * (sides[1] / len(left_P))).sum())
    expected = (chance - same) / (1 - same) if same < 1 else 0.0
    return {"share": share, "by_chance": expected}


def _examples(
    first_V: Ints,
    data: PreparedDataset,
    counts_V: Ints,
    vectors_VE: NDArray[np.float32] | None,
) -> list[dict[str, Any]]:
    """Titles in the largest first-level prefixes: nearest to the mean vector, or most popular."""
    titles = data.item_titles() or [str(item) for item in data.item_ids()]
    sizes, events = np.bincount(first_V), np.bincount(first_V, weights=counts_V)
    found = []
    for code in np.argsort(-sizes, kind="stable")[:SHOWN_PREFIXES].tolist():
        members = np.flatnonzero(first_V == code)
        far: NDArray[Any] = -counts_V[members]
        if vectors_VE is not None:
            far = ((vectors_VE[members] - vectors_VE[members].mean(0)) ** 2).sum(1)
        nearest = members[np.argsort(far, kind="stable")[:SHOWN_TITLES]]
        found.append(
            {
                "code": code,
                "items": len(members),
                "events_share": float(events[code] / max(1, events.sum())),
                "titles": [titles[item] for item in nearest.tolist()],
            }
        )
    return [example for example in found if example["items"]]
