"""A model that ranks for another dataset's test users."""

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.contracts import NO_ITEM
from recsys_lab.deploy.promote.contender import Contender, NotFinite
from recsys_lab.deploy.promote.holdout import Holdout
from recsys_lab.experiment.restore import restore
from recsys_lab.runs.record import RunRecord


@pytest.fixture
def parts(trained):
    return {
        name: restore(RunRecord.load(trained / name), "sizes")
        for name in ("knn_new", "knn_old", "pop_old", "timed_new")
    }


def ranked(contender, holdout):
    lists = [
        contender.rank(rows, exclude, batch.history.size)
        for rows, batch, exclude in holdout.batches(50)
    ]
    return torch.cat([of.items_BK for of in lists]), torch.cat([of.scores_BK for of in lists])


def test_items_of_one_side_only_are_not_listed_and_not_read(parts):
    holdout = Holdout(parts["knn_new"])
    ours, theirs = (set(map(str, parts[n].data.item_ids())) for n in ("knn_new", "knn_old"))
    assert ours - theirs
    contender = Contender(parts["knn_old"], holdout)
    items, _ = ranked(contender, holdout)
    listed = {holdout.item_ids[int(item)] for item in items.unique() if item != NO_ITEM}
    assert listed <= ours & theirs
    data = parts["knn_new"].data
    events = [data.items[start:end] for _, start, end, _ in np.asarray(data.segments("test"))]
    known = [holdout.item_ids[int(item)] in theirs for item in np.concatenate(events)]
    assert contender.num_unknown == known.count(False) > 0
    for row, seen in enumerate(events):  # exclude_seen of the candidate's protocol
        assert not set(items[row].tolist()) & set(seen.tolist())


@pytest.mark.parametrize(("name", "is_empty"), [("timed_new", True), ("pop_old", False)])
def test_users_without_a_known_item(parts, name, is_empty, monkeypatch):
    """Empty lists of a model that needs a history; popularity ranks for everyone."""
    holdout, other = Holdout(parts["knn_new"]), parts[name]
    data = parts["knn_new"].data
    rows = np.asarray(data.segments("test"))
    first = {data.item_ids()[item] for item in data.items[rows[0, 1] : rows[0, 2]]}
    renamed = [f"new {raw}" if raw in first else raw for raw in other.data.item_ids()]
    ids = {"item": pl.Series("item_id", renamed), "user": other.data.raw_ids("user")}
    monkeypatch.setattr(other.data, "raw_ids", ids.__getitem__)
    contender = Contender(other, holdout)
    items, scores = ranked(contender, holdout)
    assert bool((items[0] == NO_ITEM).all()) == is_empty
    assert bool((scores[0] == -torch.inf).all()) == is_empty
    assert contender.num_empty == int((items[:, 0] == NO_ITEM).sum())
    assert bool((items[1:, 0] != NO_ITEM).any())


def test_a_score_that_is_not_finite(parts, monkeypatch):
    holdout, model = Holdout(parts["knn_new"]), parts["timed_new"].model
    contender = Contender(parts["timed_new"], holdout)
    states = model.query_states
    for value in (torch.nan, torch.inf):
        monkeypatch.setattr(model, "query_states", lambda batch, v=value: states(batch) * 0 + v)
        with pytest.raises(NotFinite):
            ranked(contender, holdout)


def test_a_weight_that_is_not_finite(parts):
    with torch.no_grad():
        next(parts["timed_new"].model.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(NotFinite, match="of HSTU are not all finite"):
        Contender(parts["timed_new"], Holdout(parts["knn_new"]))


def test_events_of_the_holdout_that_another_dataset_knows(parts):
    old, new = Holdout(parts["knn_old"]), Holdout(parts["knn_new"])
    assert new.targets_in(parts["knn_old"].data).is_empty()
    leaked = old.targets_in(parts["knn_new"].data)
    assert leaked.columns == ["user_id", "item_id", "timestamp"]
    assert 0 < len(leaked) <= len(old)
    assert new.targets_in(parts["knn_new"].data).is_empty()  # its own training part
