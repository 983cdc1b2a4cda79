"""SASRec against PyTorch's own transformer encoder with the same weights."""

import pytest
import torch
from torch import nn

from recsys_lab.models.sasrec import SASRec
from tests.models.formulas import causal_attention, norm, shake
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
        activation=activation, norm=norm, position_origin="start", dropout=0.0,
        attention_dropout=0.0, scale_embedding=False, gated=False, tied=True, init_std=0.5,
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
        x_LD = model.items.weight[history[:-1]] + model.positions.weight[: len(history) - 1]
        for block in model.blocks:
            x_LD = gated_layer_by_formulas(block, x_LD)
        got = states_ND[start : start + len(x_LD)]
        torch.testing.assert_close(got, norm(model.final_norm, x_LD))
        start += len(x_LD)
