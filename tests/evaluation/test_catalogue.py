"""What is read of the items: categories and embeddings, and how bad files are refused."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.evaluation.catalogue import category_mix, known_codes, read_catalogue
from tests.evaluation.batches import lists_of

COLUMNS = {
    "item.brand": ("categorical", np.array([2, 0, 1, 4])),  # 0 missing, 1 unknown
    "item.tags": ("list", (np.array([2, 3, 1, 3]), np.array([0, 2, 2, 3, 4]))),
    "item.price": ("numeric", np.zeros(4)),
    "user.land": ("categorical", np.array([2])),
}


def data(ids=("a", "b", "c", "d")):
    features = SimpleNamespace(
        entry=lambda name: {"type": COLUMNS[name][0]}, column=lambda name: COLUMNS[name][1]
    )
    return SimpleNamespace(
        features=features, item_ids=lambda: list(ids),
        training_item_counts=lambda: np.array([3, 2, 1, 0]),
    )  # fmt: skip


def rows(feature) -> list[list[int]]:
    return [part.tolist() for part in feature.codes.split(feature.offsets.diff().tolist())]


def test_known_values_only_are_categories():
    assert rows(read_catalogue(data(), "item.brand", None).categories) == [[0], [], [], [2]]
    assert rows(read_catalogue(data(), "item.tags", None).categories) == [[0, 1], [], [], [1]]
    empty = known_codes(torch.empty(0, dtype=torch.int32), None)
    assert rows(empty) in ([], [[]])


@pytest.mark.parametrize("name", ["item.price", "user.land"])
def test_other_columns_are_refused(name):
    with pytest.raises(UserError, match="a categorical or list column of the items is needed"):
        read_catalogue(data(), name, None)


def test_several_categories_share_an_item():
    mix = category_mix(
        torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]), lists_of([[0, 1], [1], []]), 2, 3
    )
    assert mix.tolist() == [[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]


class TestEmbeddings:
    @pytest.mark.parametrize(
        ("ids", "stored"), [("abcd", list("dcbaz")), ([4, 3, 2, 1], list("12349"))]
    )
    def test_found_by_raw_id(self, tmp_path, ids, stored):
        table = {"item_id": stored, "embedding": [[float(i), 0.5] for i in range(5)]}
        pl.DataFrame(table).write_parquet(tmp_path / "e.parquet")
        found = read_catalogue(data(ids), None, str(tmp_path / "e.parquet")).embeddings_VD
        assert found.tolist() == [[3.0, 0.5], [2.0, 0.5], [1.0, 0.5], [0.0, 0.5]]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"item_id": ["a", "b", "d"], "embedding": [[1.0]] * 3},
             "1 of 4 items have no embedding, such as 'c'"),
            ({"item_id": list("abbcd"), "embedding": [[1.0], [2.0], [3.0], [1.0], [1.0]]},
             "has different embeddings of one item, such as 'b'"),
            ({"item_id": list("abcd"), "embedding": [[1.0]] * 3 + [[1.0, 2.0]]},
             "the embeddings have 1 to 2 numbers; all need the same number"),
            ({"item_id": list("abcd"), "vector": [[1.0]] * 4},
             "cannot be read as Parquet with columns item_id and embedding"),
            ({"item_id": list("abcd"), "embedding": ["x"] * 4},
             "column embedding holds String, not lists of numbers"),
        ],
    )  # fmt: skip
    def test_bad_files(self, tmp_path, table, message):
        pl.DataFrame(table).write_parquet(tmp_path / "e.parquet")
        with pytest.raises(UserError, match=message):
            read_catalogue(data(), None, str(tmp_path / "e.parquet"))

    def test_no_file(self):
        with pytest.raises(UserError, match=r"embeddings_path=absent.parquet: cannot be read"):
            read_catalogue(data(), None, "absent.parquet")
