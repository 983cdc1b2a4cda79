"""Options of item vectors and encoders that would change nothing are refused, or take effect."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.data.features.store import FeatureStore
from recsys_lab.models.inputs.item_inputs import Inputs
from recsys_lab.models.sequential.architectures import ARCHITECTURES
from tests.models.inputs.test_inputs import Columns
from tests.models.test_contracts import V, batch_of, histories, make

PLAIN = {
    "ids": True, "id_dropout": 0.0, "features": [], "text": None, "encoder": None,
    "text_mode": "projected", "fusion": "sum", "context": [], "cache_dir": "unused",
}  # fmt: skip
TEXT = {"text": "title", "encoder": "some/encoder"}


def inputs(**changes):
    return Inputs(Inputs.Config(**{**PLAIN, **changes}))


def data(counts=None):
    return SimpleNamespace(
        num_items=V, timestamps=None, features=Columns(),
        training_item_counts=lambda: np.ones(V) if counts is None else counts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {**TEXT, "text_mode": "initial", "id_dropout": 0.2},
            r"id_dropout: got 0\.2.*id_dropout=0",
        ),
        ({"text_mode": "initial"}, r"text_mode: got initial without inputs\.text"),
        ({"encoder": "some/encoder"}, r"encoder: got some/encoder without inputs\.text"),
        ({"fusion": "gate"}, r"fusion: got gate, but items have only one source.*fusion=sum"),
        ({**TEXT, "text_mode": "initial", "fusion": "concat"}, r"fusion: got concat.*one source"),
        ({"ids": False, "features": ["kind"], "fusion": "gate"}, r"fusion: got gate.*one source"),
        ({"features": ["kind", "item.kind"]}, r"inputs\.features: names 'item\.kind' twice"),
        ({"context": ["time.gap", "time.gap"]}, r"inputs\.context: names 'time\.gap' twice"),
    ],
)
def test_what_would_change_nothing_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        inputs(**changes)


def test_what_has_something_beside_it_is_not():
    inputs(**TEXT, text_mode="initial", id_dropout=0.2, features=["kind"])
    inputs(**TEXT, fusion="gate")
    inputs(ids=False, features=["kind", "tags"], fusion="concat")


@pytest.fixture
def encoded(monkeypatch):
    """Texts are encoded as these rows."""
    vectors = np.random.default_rng(0).normal(size=(V, 20)).astype(np.float32)
    monkeypatch.setattr("recsys_lab.models.inputs.item_inputs.text_vectors", lambda *_: vectors)
    return vectors


@pytest.mark.usefixtures("encoded")
def test_a_cold_item_keeps_the_vector_that_its_text_has_set():
    counts = np.ones(V)
    counts[7] = 0
    model = make("sasrec")
    inputs(**TEXT, text_mode="initial", features=["kind"]).attach(model, data(counts))
    free, kind = model.items.parts
    own = model.items.weight[7] - kind.table.weight[2]
    torch.testing.assert_close(own, free.items.weight[7])
    assert float(own.detach().norm()) > 0.01


def test_a_table_that_scores_on_its_own_has_the_sources_too(encoded):
    """A cold item is scored by its text, by layers that training reaches."""
    counts = np.ones(V)
    counts[7] = 0
    model = make("gsasrec")
    inputs(**TEXT, features=["kind"]).attach(model, data(counts))
    free, kind, text = model.output.parts
    assert free.items is not model.items.parts[0].items
    expected = kind.table.weight[2] + text.layer.weight @ torch.from_numpy(encoded[7])
    torch.testing.assert_close(model.item_table()[7], expected)
    states_ND, targets_N = model.training_states(batch_of(histories()))
    torch.nn.functional.cross_entropy(states_ND @ model.item_table().T, targets_N).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["mamba", "mamba2", "rwkv"])
def test_an_encoder_refuses_only_what_changes_it(name):
    """A size that the architecture ignores is refused; any other gives other weights."""
    options = {"architecture": name, "hidden_dim": 12, "num_layers": 2}
    usual = {key: p.shape for key, p in make("transformer", **options).state_dict().items()}
    for option, value in (("num_heads", 3), ("feedforward_dim", 20)):
        if option in ARCHITECTURES[name].ignores:
            with pytest.raises(UserError, match=rf"model\.{option}: got {value}, but {name} has"):
                make("transformer", **options, **{option: value})
            continue
        other = make("transformer", **options, **{option: value}).state_dict()
        assert {key: p.shape for key, p in other.items()} != usual


def test_sizes_left_out_follow_the_width():
    config = make("transformer", hidden_dim=96).blocks[0].config
    assert (config.n_head, config.n_inner) == (3, 384)


def test_only_columns_with_texts_are_read_as_texts(tmp_path):
    pl.DataFrame({"item_id": [1, 2], "title": ["a", None], "tags": [["x"], []]}).write_parquet(
        tmp_path / "items.parquet"
    )
    entries = {"title": {"type": "text"}, "tags": {"type": "list"}, "price": {"type": "numeric"}}
    store = FeatureStore(tmp_path, {"item": entries})
    assert store.text("item.title") == ["a", None]
    for name, kind in (("tags", "list"), ("price", "numeric")):
        said = rf"'item\.{name}' is of type {kind}, and a text is needed.*dataset: title\. "
        with pytest.raises(UserError, match=said):
            store.text(f"item.{name}")
