"""Items of the source's table that have no event, in the catalogue by option."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.evaluation.protocols.admissible import Admissible
from tests.data.conftest import build

LOG = "user_id,item_id,timestamp\n" + "".join(
    f"u{user},{item},{1_700_000_000 + 86_400 * place + user}\n"
    for user in range(4)
    for place, item in enumerate((5, 7, 3, 9 if user else 5))
)
ITEMS = "item_id,brand,since\n" + "\n".join(
    [
        "7,a,1",
        "4,b,1700086400",
        "3,a,1",
        "12,b,1800000000",
        "5,a,1",
        "4,c,1",
        ",c,1",
        "9,a,",
        "1,b,",
    ]
)


@pytest.fixture
def shop(table, tmp_path):
    def make(log=LOG, items=ITEMS, **options):
        (tmp_path / "items.csv").write_text(items)
        options = {"item_features": {"brand": "categorical"}, **options}
        return table(log, items_path=str(tmp_path / "items.csv"), **options)

    return make


def raw_items(data):
    ids = np.array(data.item_ids())
    return [
        ids[data.items[a:b]].tolist() for a, b in zip(data.offsets, data.offsets[1:], strict=False)
    ]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_items_of_the_table_alone_are_in_the_catalogue(shop, run, engine, caplog):
    plain, whole = (
        run(shop(), engine=engine, catalogue=catalogue) for catalogue in ("events", "table")
    )
    assert plain.item_ids() == [3, 5, 7, 9]
    assert whole.item_ids() == [1, 3, 4, 5, 7, 9, 12]
    assert raw_items(whole) == raw_items(plain)
    for phase in ("train", "validation", "test"):
        assert whole.segments(phase).tolist() == plain.segments(phase).tolist()
    assert whole.training_item_counts().tolist() == [0, 0, 0, 4, 4, 0, 0]
    assert whole.manifest["split"]["items_without_events"] == 3
    assert "items_without_events" not in plain.manifest["split"]
    left_out = [data.manifest["split"].get("table_items_left_out") for data in (plain, whole)]
    assert left_out == [3, None]
    said = "filter.catalogue=table: 3 of 7 items have no event after the filters"
    assert any(text.startswith(said) for text in whole.manifest["warnings"])
    assert said in caplog.text
    assert whole.fingerprint != plain.fingerprint


def test_the_older_catalogue_keeps_its_fingerprint():
    options = build(Filters, "filter", "default").config
    assert "catalogue" not in Filters(options).settings()
    table = dataclasses.replace(options, catalogue="table")
    assert Filters(table).settings()["catalogue"] == "table"


def test_text_beside_numbers_and_what_filters_dropped(shop, run):
    data = run(shop(items=ITEMS + "\nnew,a,1\n"), catalogue="table", min_item_count=4)
    assert data.item_ids() == ["1", "12", "3", "4", "5", "7", "9", "new"]
    assert raw_items(data)[1] == ["5", "7", "3"]  # three users have 9: dropped, and back as cold
    assert data.manifest["split"]["items_without_events"] == 5
    some = run(shop(LOG.replace("u0,5", "u0,x5")), catalogue="table")
    assert some.item_ids() == ["1", "12", "3", "4", "5", "7", "9", "x5"]


def test_a_source_without_a_table_is_refused(table, run):
    with pytest.raises(UserError, match=r"filter\.catalogue=table: the source has no table of it"):
        run(table(LOG), catalogue="table")


def candidates(data, choice, column=None):
    """Raw ids of the candidates of each test user."""
    admissible = Admissible(SimpleNamespace(candidates=choice, release_column=column))
    admissible.attach(data)
    batches = EvaluationBatches(
        data, "test", batch_size=10, window=3, exclude_seen=False, target_times=True
    )
    [batch] = list(batches)
    rows, items = admissible.excluded(batch)
    stays = torch.ones(len(data.segments("test")), data.num_items, dtype=torch.bool)
    stays[rows, items] = False
    return [[data.item_ids()[item] for item in torch.where(row)[0].tolist()] for row in stays]


def test_candidates_among_items_without_events(shop, run):
    data = run(shop(), catalogue="table")
    assert candidates(data, "known") == [[5, 7]] * 4
    assert candidates(data, "released")[1:] == [[3, 5, 7, 9]] * 3
    # 4 has a time before the targets, 12 one after them, 1 has none and no event.
    assert candidates(data, "released", "since")[1:] == [[3, 4, 5, 7, 9]] * 3
