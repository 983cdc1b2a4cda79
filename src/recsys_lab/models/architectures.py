"""Hugging Face architectures: how each names its sizes, and how it is built without its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from recsys_lab.config import UserError
from recsys_lab.config.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Sizes:
    """What the options of an encoder are, whatever the architecture calls them.

    Attributes:
        width: of the states.
        layers: number of layers.
        heads: attention heads.
        inner: width within the feed-forward layers.
        length: events of the longest history.
        dropout: rate.
    """

    width: int
    layers: int
    heads: int
    inner: int
    length: int
    dropout: float


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
        causal: whether an event sees only earlier ones.
        options: its configuration for given sizes.
        compiles: whether `torch.compile` serves it: a scan over the events is unrolled anew for
            each length.
    """

    causal: bool
    options: Callable[[Sizes], dict[str, Any]] = field(repr=False)
    compiles: bool = True


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
    return _common(sizes) | head | {"attention_dropout": sizes.dropout}


def _phi3(sizes: Sizes) -> dict[str, Any]:
    return _decoder(sizes) | {
        "original_max_position_embeddings": sizes.length,
        "resid_pdrop": sizes.dropout,
        "embd_pdrop": sizes.dropout,
    }


def _gemma3(sizes: Sizes) -> dict[str, Any]:
    return _decoder(sizes) | {"query_pre_attn_scalar": sizes.width // sizes.heads}


def _gpt2(sizes: Sizes) -> dict[str, Any]:
    names = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
    return {
        "n_embd": sizes.width, "n_layer": sizes.layers, "n_head": sizes.heads,
        "n_inner": sizes.inner, "n_positions": sizes.length,
        **dict.fromkeys(names, sizes.dropout),
    }  # fmt: skip


def _opt(sizes: Sizes) -> dict[str, Any]:
    own = {"ffn_dim": sizes.inner, "word_embed_proj_dim": sizes.width}
    return _common(sizes) | own | {"dropout": sizes.dropout, "attention_dropout": sizes.dropout}


def _gpt_neox(sizes: Sizes) -> dict[str, Any]:
    return _common(sizes) | {"attention_dropout": sizes.dropout, "hidden_dropout": sizes.dropout}


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
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    own = {"type_vocab_size": 1, "embedding_size": sizes.width}
    # RoBERTa counts positions from the one after its padding word.
    own["max_position_embeddings"] = sizes.length + 2
    return _common(sizes) | own | dict.fromkeys(names, sizes.dropout)


def _modernbert(sizes: Sizes) -> dict[str, Any]:
    names = ("attention_dropout", "mlp_dropout", "embedding_dropout")
    return _common(sizes) | dict.fromkeys(names, sizes.dropout)


def _distilbert(sizes: Sizes) -> dict[str, Any]:
    return {
        "dim": sizes.width, "n_layers": sizes.layers, "n_heads": sizes.heads,
        "hidden_dim": sizes.inner, "max_position_embeddings": sizes.length,
        "dropout": sizes.dropout, "attention_dropout": sizes.dropout,
    }  # fmt: skip


def _t5(sizes: Sizes) -> dict[str, Any]:
    return {
        "d_model": sizes.width, "num_layers": sizes.layers, "num_heads": sizes.heads,
        "d_ff": sizes.inner, "d_kv": sizes.width // sizes.heads, "dropout_rate": sizes.dropout,
    }  # fmt: skip


ARCHITECTURES = {
    "gpt2": Architecture(True, _gpt2),
    "llama": Architecture(True, _decoder),
    "mistral": Architecture(True, _decoder),
    "qwen2": Architecture(True, _decoder),
    "qwen3": Architecture(True, _decoder),
    "gemma3_text": Architecture(True, _gemma3),
    "olmo2": Architecture(True, _decoder),
    "phi3": Architecture(True, _phi3),
    "smollm3": Architecture(True, _decoder),
    "opt": Architecture(True, _opt),
    "gpt_neox": Architecture(True, _gpt_neox),
    "mamba": Architecture(True, _mamba, compiles=False),
    "mamba2": Architecture(True, _mamba2, compiles=False),
    "rwkv": Architecture(True, _rwkv, compiles=False),
    "bert": Architecture(False, _bert),
    "roberta": Architecture(False, _bert),
    "modernbert": Architecture(False, _modernbert),
    "distilbert": Architecture(False, _distilbert),
    "electra": Architecture(False, _bert),
    "albert": Architecture(False, _bert),
    "t5": Architecture(False, _t5),
}


def architecture_of(name: str) -> Architecture:
    """An architecture by its Hugging Face name.

    Raises:
        UserError: there is none of that name here.
    """
    if name not in ARCHITECTURES:
        raise UserError(
            f"model.architecture: got '{name}'{did_you_mean(name, ARCHITECTURES)} Choose one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def from_sizes(name: str, sizes: Sizes) -> nn.Module:
    """An encoder with random weights."""
    from transformers import AutoConfig

    words = dict.fromkeys((f"{word}_token_id" for word in ("pad", "bos", "eos", "sep", "cls")), 0)
    config = AutoConfig.for_model(
        name, vocab_size=2, use_cache=False, **words, **architecture_of(name).options(sizes)
    )
    return _without_words(_auto(name).from_config(config))


def from_pretrained(name: str, source: str) -> nn.Module:
    """An encoder with stored weights.

    Args:
        name: the architecture that it must have.
        source: a folder, or a name on the Hugging Face Hub.

    Raises:
        UserError: it cannot be loaded, or is of another architecture.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        if config.model_type == name:
            encoder = _auto(name).from_pretrained(
                source, config=config, use_safetensors=True, trust_remote_code=False
            )
            return _without_words(encoder)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"model.pretrained: cannot load '{source}' ({reason}); give a folder with config.json "
            "and model.safetensors, or a name on the Hugging Face Hub"
        ) from error
    raise UserError(
        f"model.architecture: got {name}, and model.pretrained={source} is a {config.model_type}; "
        f"use model.architecture={config.model_type}"
    )


def _auto(name: str) -> Any:
    import transformers

    # The encoder half alone, where there are two.
    return transformers.AutoModelForTextEncoding if name == "t5" else transformers.AutoModel


def _without_words(encoder: Any) -> nn.Module:
    """Take away what reads words and what sums up whole texts: neither is used."""
    encoder.set_input_embeddings(nn.Identity())
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    assert isinstance(encoder, nn.Module)
    return encoder
