"""The comparison of two frames of lists, and which models are exported."""

import importlib
from pathlib import Path

import polars as pl
import pytest
import yaml

from recsys_lab.config import UserError, config_dir
from recsys_lab.deploy.export.check import agreement, compared, refuse_different
from recsys_lab.deploy.export.refusals import reason_against

# Encoders of transformers that cannot be traced (Mamba) are refused then, with that reason.
EXPORTED = {
    "bert4rec", "bsarec", "esasrec", "gru4rec", "gsasrec", "hstu", "mamba", "sasrec", "transformer",
}  # fmt: skip


def lists(*rows):
    """A frame of one user's or several users' lists, each a list of (item, score)."""
    table = [
        (f"u{user}", rank + 1, item, score)
        for user, row in enumerate(rows)
        for rank, (item, score) in enumerate(row)
    ]
    columns = {"user_id": pl.String, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32}
    return pl.DataFrame(table, columns, orient="row")


ONE = [("a", 3.0), ("b", 2.000001), ("c", 2.0), ("d", 1.0)]


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (ONE, "identical"),
        ([("a", 3.0), ("c", 2.000001), ("b", 2.0), ("d", 1.0)], "near_ties"),
        ([("a", 3.0), ("b", 2.0), ("c", 2.0), ("e", 1.0)], "near_ties"),  # the last may be others
        ([("a", 3.0), ("b", 2.0), ("e", 2.0), ("d", 1.0)], "different"),
        ([("b", 3.0), ("a", 2.0), ("c", 2.0), ("d", 1.0)], "different"),
        ([("a", 3.1), ("b", 2.0), ("c", 2.0), ("d", 1.0)], "different"),
        (ONE[:3], "different"),
        ([], "different"),
    ],
)
def test_kinds_of_agreement(other, kind):
    check = compared(lists(ONE, ONE), lists(other, ONE), 4)
    counts = {name: getattr(check, name) for name in ("identical", "near_ties", "different")}
    wanted = dict.fromkeys(counts, 0) | {"identical": 1}
    wanted[kind] += 1
    assert counts == wanted
    if kind == "different":
        with pytest.raises(UserError, match="differ from the lab's for 1 of 2 users"):
            refuse_different(check)
    else:
        refuse_different(check)


def test_lists_with_equal_scores_are_counted():
    tied = [("a", 1.0), ("b", 1.0)]
    check = compared(lists(tied, ONE), lists(tied, ONE), 4)
    assert (check.with_ties, check.identical, check.users) == (1, 2, 2)


def test_shares_of_agreement():
    other = [("b", 3.0), ("a", 2.0), ("c", 1.0), ("x", 0.0)]
    assert agreement(lists(ONE, ONE), lists(other, ONE), 4) == {
        "identical": 0.5,
        "overlap@4": 7 / 8,
    }


@pytest.mark.parametrize("file", sorted(Path(config_dir(), "model").glob("*.yaml")), ids=str)
def test_every_model_is_exported_or_refused_with_a_reason(file):
    module, _, name = yaml.safe_load(file.read_text())["_target_"].rpartition(".")
    reason = reason_against(getattr(importlib.import_module(module), name))
    assert (reason is None) == (file.stem in EXPORTED), reason
    assert reason is None or "fitted in one pass" in reason or "semantic IDs" in reason
