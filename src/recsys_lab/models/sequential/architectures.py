"""Supported Hugging Face architectures and the names of their size options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from recsys_lab.config import UserError, did_you_mean


@dataclass(frozen=True)
class Sizes:
    """Sizes of an encoder, independent of the architecture's option names.

    Attributes:
        width: width of the states.
        layers: number of layers.
        heads: attention heads.
        inner: inner width of the feed-forward layers.
        length: length of the longest history, in events.
    """

    width: int
    layers: int
    heads: int
    inner: int
    length: int


@dataclass(frozen=True)
class Architecture:
    """Properties of an architecture.

    Attributes:
        causal: whether an event sees only itself and earlier ones.
        options: returns its configuration options for given sizes.
        dropouts: names of its options that are dropout rates.
        drops_inputs: whether one of them applies to the input embeddings.
        rotary: whether it has rotary positions, which need an even head width.
        numbered: whether it has learned position embeddings, which limit the history length.
        ignores: which of num_heads and feedforward_dim it does not have.
        recurrent: whether its layers scan the events: torch.compile would recompile the scan for
            each length, and there are no keys and values of earlier events.
    """

    causal: bool
    options: Callable[[Sizes], dict[str, Any]] = field(repr=False)
    dropouts: tuple[str, ...] = ()
    drops_inputs: bool = False
    rotary: bool = False
    numbered: bool = False
    ignores: tuple[str, ...] = ()
    recurrent: bool = False


def _common(sizes: Sizes) -> dict[str, Any]:
    return {
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner,
        "max_position_embeddings": sizes.length,
    }


def _decoder(sizes: Sizes) -> dict[str, Any]:
    head = {"num_key_value_heads": sizes.heads, "head_dim": sizes.width // sizes.heads}
    return _common(sizes) | head


def _phi3(sizes: Sizes) -> dict[str, Any]:
    return _decoder(sizes) | {"original_max_position_embeddings": sizes.length}


def _gemma3(sizes: Sizes) -> dict[str, Any]:
    return _decoder(sizes) | {"query_pre_attn_scalar": sizes.width // sizes.heads}


def _gpt2(sizes: Sizes) -> dict[str, Any]:
    return {
        "n_embd": sizes.width, "n_layer": sizes.layers, "n_head": sizes.heads,
        "n_inner": sizes.inner, "n_positions": sizes.length,
    }  # fmt: skip


def _opt(sizes: Sizes) -> dict[str, Any]:
    return _common(sizes) | {"ffn_dim": sizes.inner, "word_embed_proj_dim": sizes.width}


def _gpt_neox(sizes: Sizes) -> dict[str, Any]:
    # Rotate whole heads: the usual quarter of a small head can be 0 dimensions.
    return _common(sizes) | {"rotary_pct": 1.0}


def _mamba(sizes: Sizes) -> dict[str, Any]:
    # Twice as wide inside, as published: its layers have no feed-forward part.
    return {"hidden_size": sizes.width, "num_hidden_layers": sizes.layers, "expand": 2}


def _mamba2(sizes: Sizes) -> dict[str, Any]:
    head = {"num_heads": sizes.heads, "head_dim": 2 * sizes.width // sizes.heads}
    return _mamba(sizes) | head | {"n_groups": 1, "state_size": 64, "chunk_size": 32}


def _rwkv(sizes: Sizes) -> dict[str, Any]:
    return {
        "hidden_size": sizes.width, "attention_hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers, "intermediate_size": sizes.inner,
        "context_length": sizes.length,
    }  # fmt: skip


def _bert(sizes: Sizes) -> dict[str, Any]:
    return _common(sizes) | {"type_vocab_size": 1, "embedding_size": sizes.width}


def _roberta(sizes: Sizes) -> dict[str, Any]:
    # Its positions start after the padding token's id, which is 0 here.
    return _bert(sizes) | {"max_position_embeddings": sizes.length + 1}


def _distilbert(sizes: Sizes) -> dict[str, Any]:
    return {
        "dim": sizes.width, "n_layers": sizes.layers, "n_heads": sizes.heads,
        "hidden_dim": sizes.inner, "max_position_embeddings": sizes.length,
    }  # fmt: skip


def _t5(sizes: Sizes) -> dict[str, Any]:
    return {
        "d_model": sizes.width, "num_layers": sizes.layers, "num_heads": sizes.heads,
        "d_ff": sizes.inner, "d_kv": sizes.width // sizes.heads,
    }  # fmt: skip


def _modern_decoder(options: Callable[[Sizes], dict[str, Any]] = _decoder) -> Architecture:
    return Architecture(True, options, ("attention_dropout",), rotary=True)


def _bert_like(options: Callable[[Sizes], dict[str, Any]] = _bert) -> Architecture:
    rates = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    return Architecture(False, options, rates, drops_inputs=True, numbered=True)


ARCHITECTURES = {
    "gpt2": Architecture(
        True, _gpt2, ("resid_pdrop", "embd_pdrop", "attn_pdrop"), drops_inputs=True, numbered=True
    ),
    "llama": _modern_decoder(),
    "mistral": _modern_decoder(),
    "qwen2": _modern_decoder(),
    "qwen3": _modern_decoder(),
    "gemma3_text": _modern_decoder(_gemma3),
    "olmo2": _modern_decoder(),
    "phi3": Architecture(True, _phi3, ("resid_pdrop", "attention_dropout"), rotary=True),
    "smollm3": _modern_decoder(),
    "opt": Architecture(True, _opt, ("dropout", "attention_dropout"), numbered=True),
    "gpt_neox": Architecture(
        True, _gpt_neox, ("hidden_dropout", "attention_dropout"), drops_inputs=True, rotary=True
    ),
    "mamba": Architecture(
        True, _mamba, ignores=("num_heads", "feedforward_dim"), recurrent=True
    ),
    "mamba2": Architecture(True, _mamba2, ignores=("feedforward_dim",), recurrent=True),
    "rwkv": Architecture(True, _rwkv, ignores=("num_heads",), recurrent=True),
    "bert": _bert_like(),
    "roberta": _bert_like(_roberta),
    "modernbert": Architecture(
        False, _common, ("embedding_dropout", "attention_dropout", "mlp_dropout"),
        drops_inputs=True, rotary=True,
    ),
    "distilbert": Architecture(
        False, _distilbert, ("dropout", "attention_dropout"), drops_inputs=True, numbered=True
    ),
    "electra": _bert_like(),
    "albert": _bert_like(),
    "t5": Architecture(False, _t5, ("dropout_rate",), drops_inputs=True),
}  # fmt: skip


def architecture_of(name: str) -> Architecture:
    """An architecture by its Hugging Face name.

    Raises:
        UserError: the name is not supported.
    """
    if name not in ARCHITECTURES:
        raise UserError(
            f"model.architecture: got '{name}'{did_you_mean(name, ARCHITECTURES)} Choose one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]
