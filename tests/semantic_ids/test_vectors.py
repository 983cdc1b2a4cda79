"""Item vectors from columns, texts and files; what is refused."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.semantic_ids import sources
from recsys_lab.semantic_ids.sources import Made, source
from recsys_lab.semantic_ids.vectors import item_vectors
from tests.semantic_ids.made import SMALL, quantiser

V = 6
TITLES = ["red mug", "blue mug", "usb cable", None, " ", "lamp"]


class Columns:
    """Item columns of four types."""

    entries: ClassVar = {
        "item.kind": {"type": "categorical", "cardinality": 4},
        "item.tags": {"type": "list", "cardinality": 5},
        "item.price": {"type": "numeric", "mean": 2.0, "std": 2.0},
        "item.title": {"type": "text"},
        "user.land": {"type": "categorical", "cardinality": 4},
    }

    def names(self):
        return list(self.entries)

    def entry(self, name):
        if name not in self.entries:
            raise UserError(f"this dataset has no feature '{name}'")
        return self.entries[name]

    def column(self, name):
        if name == "item.kind":
            return np.array([2, 3, 2, 0, 1, 3], dtype=np.int32)
        if name == "item.price":
            return np.array([2, 4, np.nan, 0, 2, 2], dtype=np.float32)
        return np.array([2, 3, 4, 2, 1], dtype=np.int32), np.array([0, 2, 3, 3, 4, 5, 5])

    def text(self, _):
        return TITLES


DATA = SimpleNamespace(
    num_items=V, features=Columns(), item_ids=lambda: [f"i{n}" for n in range(V)], path="prepared"
)
KNOWN = np.array([1, 1, 1, 1, 1, 0], dtype=bool)


def config(**options):
    return quantiser("residual_kmeans", **{**SMALL, **options}).config


def refuse_run(*_):
    raise AssertionError("no run is named")


def read(name, **options):
    return source(name, config(**options), DATA, refuse_run).read()


def test_columns_by_hand():
    half = np.sqrt(0.5)
    kind = [[1, 0], [0, 1], [1, 0], [0, 0], [0, 0], [0, 1]]  # missing and unknown are zeros
    tags = [[half, half, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    price = [[0, 1], [1, 1], [0, 0], [-1, 1], [0, 1], [0, 1]]  # the score, and whether it is known
    expected = np.concatenate([kind, tags, price], 1)
    np.testing.assert_allclose(read("features"), expected, atol=1e-6)
    chosen = read("features", features=["tags", "item.kind"])
    np.testing.assert_allclose(chosen, np.concatenate([tags, kind], 1), atol=1e-6)
    with pytest.raises(UserError, match=r"this dataset has no feature 'item\.colour'"):
        read("features", features=["colour"])


def test_a_dataset_without_columns():
    bare = SimpleNamespace(num_items=V, features=SimpleNamespace(names=list))
    with pytest.raises(UserError, match="has no item columns with codes or numbers; declare some"):
        source("features", config(), bare, refuse_run)


def test_items_without_a_text_get_the_mean_vector(monkeypatch, caplog):
    def encode(texts, encoder, *_):
        assert encoder == "MiniLM"
        rng = np.random.default_rng(0)
        return np.array([rng.normal(size=5) if (t or "").strip() else np.zeros(5) for t in texts])

    monkeypatch.setattr(sources, "text_vectors", encode)
    options = config(encoder="MiniLM")
    text = source("text", options, DATA, refuse_run)
    vectors, without = item_vectors(options, {"text": text}, DATA, KNOWN)
    assert without == {"text": 2}
    np.testing.assert_allclose(vectors[3], vectors[:3].mean(0), atol=1e-6)  # item 5 is new
    assert np.array_equal(vectors[3], vectors[4])
    assert "2 of 6 items have no vector there, such as item 'i3'; they get the mean" in caplog.text
    with pytest.raises(UserError, match=r"semantic_ids\.encoder: none given"):
        source("text", config(), DATA, refuse_run)


def test_a_file_of_embeddings(tmp_path):
    rows = {
        "item_id": [f"i{n}" for n in range(V)][::-1],
        "embedding": [[float(n), 1.0] for n in range(V)],
    }
    file = tmp_path / "vectors.parquet"
    pl.DataFrame(rows).write_parquet(file)
    assert read(str(file))[:, 0].tolist() == [5, 4, 3, 2, 1, 0]
    pl.DataFrame({**rows, "item_id": [f"other{n}" for n in range(V)]}).write_parquet(file)
    with pytest.raises(UserError, match="6 of 6 items have no embedding, such as 'i0'"):
        read(str(file))
    pl.DataFrame({**rows, "embedding": [[float("nan"), 1.0]] * V}).write_parquet(file)
    with pytest.raises(UserError, match="numbers that are not finite"):
        read(str(file))
    pl.DataFrame({"item_id": [1]}).write_parquet(file)
    with pytest.raises(UserError, match="cannot be read as Parquet with columns item_id and"):
        read(str(file))


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "vectors.npy", np.eye(3))
    with pytest.raises(UserError, match=r"rows of a \.npy file have no item ids"):
        read(str(tmp_path / "vectors.npy"))
    with pytest.raises(UserError, match="got 'texts', expected features, text, the folder of a"):
        read("texts")


def vectors_of(parts, known=KNOWN, **options):
    made = {name: Made(np.array(part, dtype=np.float32)) for name, part in parts.items()}
    return item_vectors(config(**options), made, DATA, known)[0]


def test_sources_side_by_side_weigh_the_same():
    rng = np.random.default_rng(0)
    parts = {"a": rng.normal(size=(V, 4)) * 100 + 7, "b": rng.normal(size=(V, 2))}
    vectors = vectors_of(parts)
    assert vectors.shape == (V, 6)
    for part in (vectors[:5, :4], vectors[:5, 4:]):
        np.testing.assert_allclose(part.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose((part**2).sum(1).mean(), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors_of({"a": parts["a"]}), parts["a"].astype(np.float32))


def test_standardised_components():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(V, 3)) * [1, 10, 0] + 5
    standard = vectors_of({"a": x}, standardise=True)
    np.testing.assert_allclose(standard[:5].std(0), [1, 1, 0], atol=1e-5)
    whole, few = vectors_of({"a": x}, components=3), vectors_of({"a": x}, components=1)
    np.testing.assert_allclose(few, whole[:, :1], atol=1e-6)
    apart = [np.linalg.norm(y[0] - y[1]) for y in (x, whole)]
    assert apart[0] == pytest.approx(apart[1], rel=1e-5)
    assert few[:5].var() == pytest.approx(np.linalg.eigvalsh(np.cov(x[:5].T))[-1] * 4 / 5, rel=1e-4)
    with pytest.raises(UserError, match="got 4, expected at most 3, the width of the vectors"):
        vectors_of({"a": x}, components=4)


def test_equal_vectors_are_refused():
    x = np.ones((V, 3))
    x[5] = 2  # an item without training events
    with pytest.raises(UserError, match="all 5 items with training events have the same vector"):
        vectors_of({"a": x})
    with pytest.raises(UserError, match="no item with training events has a vector there"):
        vectors_of({"a": np.where(KNOWN[:, None], np.nan, x)})
