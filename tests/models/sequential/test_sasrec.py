"""SASRec against PyTorch's own transformer encoder with the same weights."""

import pytest
import torch
import yaml
from torch import nn

from recsys_lab.config import UserError, config_dir
from recsys_lab.models.sequential.sasrec import SASRec
from tests.models.classical.formulas import causal_attention, norm, shake
from tests.models.test_contracts import batch_of, histories, make

D, HEADS, L, V = 16, 2, 8, 30


def reference(model: SASRec, norm: str, activation: str) -> nn.TransformerEncoder:
    """`nn.TransformerEncoder`, an independent implementation, with the model's weights."""
    layer = nn.TransformerEncoderLayer(
        D, HEADS, 24, dropout=0.0, activation=activation, batch_first=True, norm_first=norm == "pre"
    )
    encoder = nn.TransformerEncoder(
        layer, 2, norm=nn.LayerNorm(D) if norm == "pre" else None, enable_nested_tensor=False
    )
    with torch.no_grad():
        for mine, theirs in zip(model.blocks, encoder.layers, strict=True):
            theirs.self_attn.in_proj_weight.copy_(mine.attention.qkv.weight)
            theirs.self_attn.in_proj_bias.copy_(mine.attention.qkv.bias)
            theirs.self_attn.out_proj.load_state_dict(mine.attention.out.state_dict())
            theirs.linear1.load_state_dict(mine.feedforward[0].state_dict())
            theirs.linear2.load_state_dict(mine.feedforward[2].state_dict())
            theirs.norm1.load_state_dict(mine.attention_norm.state_dict())
            theirs.norm2.load_state_dict(mine.feedforward_norm.state_dict())
        if norm == "pre":
            encoder.norm.load_state_dict(model.final_norm.state_dict())
    return encoder


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_equals_torch_transformer_encoder(norm, activation):
    torch.manual_seed(0)
    config = SASRec.Config(
        hidden_dim=D, num_layers=2, num_heads=HEADS, max_length=L, feedforward_dim=24,
        activation=activation, norm=norm, final_norm=norm == "pre", position_origin="start",
        dropout=0.0, attention_dropout=0.0, feedforward_dropout=0.0, scale_embedding=False,
        gated=False, tied=True, init_std=0.5,
    )  # fmt: skip
    model = SASRec(config, num_items=V).double()
    encoder = reference(model, norm, activation).double()
    items_BL = torch.randint(V, (3, L + 1))
    states_ND, targets_N = model.training_states(batch_of(items_BL.tolist()))
    x_BLD = model.items(items_BL[:, :-1]) + model.positions(torch.arange(L))
    mask = nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)
    expected_BLD = encoder(x_BLD, mask=mask, is_causal=True)
    torch.testing.assert_close(states_ND, expected_BLD.flatten(0, 1))
    assert torch.equal(targets_N, items_BL[:, 1:].flatten())
    loss, expected = states_ND.square().sum(), expected_BLD.square().sum()
    (mine,) = torch.autograd.grad(loss, model.items.weight)
    (theirs,) = torch.autograd.grad(expected, model.items.weight)
    torch.testing.assert_close(mine, theirs)


def from_the_end(model, history, scale=1.0):
    """What enters: item and position, the latest event having position 0."""
    places = torch.arange(len(history) - 1, -1, -1)
    return model.items.weight[history] * scale + model.positions.weight[places]


def gated_layer_by_formulas(block, x_LD):
    """x + gate(x) * f(norm(x)) for attention, then for SwiGLU (LiGR; Shazeer, 2020)."""

    def gate(layer, x):
        return 1 / (1 + (-(x @ layer.linear.weight.T + layer.linear.bias)).exp())

    attended = causal_attention(block.attention, norm(block.attention_norm, x_LD))
    x_LD = x_LD + gate(block.attention_gate, x_LD) * attended
    normed = norm(block.feedforward_norm, x_LD)
    opened, value = (normed @ block.feedforward.inner.weight.T).split(32, dim=1)
    fed = opened / (1 + (-opened).exp()) * value @ block.feedforward.out.weight.T
    return x_LD + gate(block.feedforward_gate, x_LD) * fed


def test_gated_blocks_equal_the_formulas():
    model, given = shake(make("esasrec")), histories()
    assert model.config.num_heads == 2
    states_ND, _ = model.training_states(batch_of(given))
    start = 0
    for history in given:
        x_LD = from_the_end(model, history[:-1])
        for block in model.blocks:
            x_LD = gated_layer_by_formulas(block, x_LD)
        got = states_ND[start : start + len(x_LD)]
        torch.testing.assert_close(got, x_LD)  # no norm after the last block
        start += len(x_LD)


def published_layer(block, x_LD):
    """kang205/SASRec, modules.py and model.py, event by event: one head here."""
    attention = block.attention
    weights, biases = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)
    normed = norm(block.attention_norm, x_LD)
    query, key, value = (
        given @ weight.T + bias
        for given, weight, bias in zip((normed, x_LD, x_LD), weights, biases, strict=True)
    )
    read = []
    for place in range(len(x_LD)):
        share = (key[: place + 1] @ query[place] / query.shape[1] ** 0.5).softmax(0)
        read.append(normed[place] + share @ value[: place + 1])
    fed = norm(block.feedforward_norm, torch.stack(read))
    inner, outer = block.feedforward[0], block.feedforward[2]
    hidden = (fed @ inner.weight.T + inner.bias).clamp(min=0)
    return fed + hidden @ outer.weight.T + outer.bias


@pytest.mark.parametrize("name", ["sasrec", "gsasrec"])
def test_the_published_blocks_equal_their_code(name):
    published = {
        "norm": "query", "activation": "relu", "position_origin": "end", "num_heads": 1,
        "feedforward_dim": 16, "final_norm": True, "scale_embedding": name == "sasrec",
    }  # fmt: skip
    model, given = shake(make(name, **published)), histories()
    assert not list(model.blocks[0].attention.out.parameters())
    states_ND, _ = model.training_states(batch_of(given))
    states_ND = list(states_ND.split([len(history) - 1 for history in given]))
    for history, got in zip(given, states_ND, strict=True):
        scale = 4.0 if name == "sasrec" else 1.0  # the root of the width
        x_LD = from_the_end(model, history[:-1], scale)
        for block in model.blocks:
            x_LD = published_layer(block, x_LD)
        torch.testing.assert_close(got, norm(model.final_norm, x_LD))
    shipped = yaml.safe_load((config_dir() / "model" / "gsasrec.yaml").read_text())
    assert {key: shipped[key] for key in ("norm", "activation", "position_origin")} == {
        key: published[key] for key in ("norm", "activation", "position_origin")
    }


@pytest.mark.parametrize(
    ("changes", "places"),
    [({"norm": "query"}, {"embedding", "fed"}), ({"norm": "pre"}, {"embedding", "read", "fed"})],
)
def test_dropout_stands_where_it_is_said_to(changes, places):
    """With a rate near 1 all that passes a dropout is zero."""
    model = make("sasrec", **changes, num_layers=1).double().train()
    block = model.blocks[0]
    seen = {}
    for place, module in (("read", block.attention.out), ("fed", block.feedforward)):
        module.register_forward_hook(lambda _, __, out, place=place: seen.update({place: out}))
    calls = []
    for dropout in (model.dropout, block.dropout):
        dropout.register_forward_hook(lambda _, given, __: calls.append(given[0]))
    model.training_states(batch_of(histories()))
    found = {"embedding"} | {
        place for place, out in seen.items() if any(given is out for given in calls)
    }
    assert found == places
    assert len(calls) == len(places)
    inside = make("sasrec", **changes, feedforward_dropout=0.9).blocks[0].feedforward.train()
    assert (inside[1](torch.ones(1, 1000)) == 0).float().mean() > 0.8


def test_a_second_norm_at_the_end_is_refused():
    with pytest.raises(UserError, match=r"final_norm: got true with model\.norm=post"):
        make("sasrec", norm="post")
