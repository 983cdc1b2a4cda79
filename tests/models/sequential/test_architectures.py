"""The encoders of the transformers library: states, number of weights, tracing by torch."""

from __future__ import annotations

import pytest
import torch

from recsys_lab.models.sequential.architectures import ARCHITECTURES
from recsys_lab.models.sequential.layers import PaddedLayout
from tests.models.classical.formulas import shake
from tests.models.sequential.test_transformer import CLOZE, short, small
from tests.models.test_contracts import V, graphs_of


def library_model(name):
    """The library's own model of the same sizes, set up without the lab."""
    import transformers

    if name == "gpt2":
        rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config = transformers.GPT2Config(
            vocab_size=2, n_embd=16, n_layer=2, n_head=2, n_inner=32, n_positions=9, **rates
        )
        return transformers.GPT2Model(config), "wte.weight"
    rates = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    config = transformers.BertConfig(
        vocab_size=2, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=9, type_vocab_size=1, **rates,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False)
    return model, "embeddings.word_embeddings.weight"


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_states_are_those_of_the_library_s_own_model(name):
    model = shake(small(name, num_layers=2, num_heads=2, feedforward_dim=32))
    own, words = library_model(name)
    own.double().eval()
    keys = own.load_state_dict(model.blocks[0].state_dict(), strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == ([words], [])
    lengths = (6, 2, 9)
    x_TD = torch.randn(sum(lengths), 16, dtype=torch.float64)
    x_BLD = torch.full(
        (3, 9, 16), 7.0, dtype=torch.float64
    )  # what stands in the padding must not matter
    mask_BL = torch.zeros(3, 9, dtype=torch.long)
    for row, part in enumerate(x_TD.split(lengths)):
        x_BLD[row, : len(part)], mask_BL[row, : len(part)] = part, 1
    got = model._states(x_TD, PaddedLayout.of(lengths, x_TD.device))

    def expected():
        found = own(inputs_embeds=x_BLD, attention_mask=mask_BL).last_hidden_state
        return found[mask_BL.bool()]

    torch.testing.assert_close(got, expected())
    for key, parameter in own.named_parameters():
        # Of a key's bias, softmax takes the same from every score.
        if key == words or key.endswith("key.bias"):
            continue
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter))
            assert not torch.allclose(got, expected(), atol=1e-3), key
            parameter.copy_(before)


D, INNER, LAYERS, LENGTH, HEAD = 16, 32, 3, 9, 8
BIASED = 4 * (D * D + D) + (D * INNER + INNER) + (INNER * D + D) + 2 * 2 * D  # a block of BERT
GATED = 4 * D * D + 3 * D * INNER + 2 * D  # a block of Llama
BERT = LENGTH * D + D + 2 * D + LAYERS * BIASED  # places, one kind of text, a norm
MAMBA = (
    D + D * 4 * D + 2 * D * (4 + 1)  # norm, both branches, convolution
    + 2 * D * (1 + 2 * 16) + (2 * D + 2 * D)  # what selects, a step of rank 1
    + 2 * D * 16 + 2 * D + 2 * D * D  # decay, skip, out
)  # fmt: skip
CHANNELS = 2 * D + 2 * 64
MAMBA2 = (
    D + D * (2 * D + CHANNELS + 2) + CHANNELS * (4 + 1)  # norm, all branches, convolution
    + 3 * 2 + 2 * D + 2 * D * D  # of 2 heads: step, decay, skip; norm, out
)  # fmt: skip
COUNTS = {
    "gpt2": LENGTH * D + LAYERS * BIASED + 2 * D,
    "llama": LAYERS * GATED + D,
    "mistral": LAYERS * GATED + D,
    "qwen2": LAYERS * (GATED + 3 * D) + D,
    "qwen3": LAYERS * (GATED + 2 * HEAD) + D,
    "gemma3_text": LAYERS * (GATED + 2 * D + 2 * HEAD) + D,
    "olmo2": LAYERS * (GATED + 2 * D) + D,
    "phi3": LAYERS * GATED + D,
    "smollm3": LAYERS * GATED + D,
    "opt": (LENGTH + 2) * D + LAYERS * BIASED + 2 * D,
    "gpt_neox": LAYERS * BIASED + 2 * D,
    "mamba": LAYERS * MAMBA + D,
    "mamba2": LAYERS * MAMBA2 + D,
    "rwkv": LAYERS * (5 * D * D + 2 * D * INNER + 7 * D + 4 * D) + 2 * D + 2 * D,
    "bert": BERT,
    "roberta": BERT + D,
    "modernbert": D + LAYERS * GATED - D + D,  # the first block has one norm less
    "distilbert": BERT - D,
    "electra": BERT,
    "albert": BERT - (LAYERS - 1) * BIASED + D * D + D,  # one block for all layers
    "t5": 32 * 2 + LAYERS * (4 * D * D + 2 * D * INNER + 2 * D) + D,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameter_count_equals_the_closed_form(name):
    sizes = {"num_heads": 2, "feedforward_dim": INNER}
    sizes = {k: None if k in ARCHITECTURES[name].ignores else v for k, v in sizes.items()}
    model = small(name, num_layers=LAYERS, **sizes)
    items = V * D + (D if name in CLOZE else 0)
    assert sum(p.numel() for p in model.parameters()) == items + COUNTS[name]


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own code
@pytest.mark.parametrize(
    "name", [name for name in ARCHITECTURES if not ARCHITECTURES[name].recurrent]
)
def test_traced_once_it_serves_batches_of_all_sizes(name):
    graphs = graphs_of(lambda: small(name).eval(), short, "eager")
    assert graphs[0] >= 1
    assert graphs[-1] == graphs[1]
