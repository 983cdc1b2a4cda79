"""Encoders of the transformers library without token embeddings: built, loaded, adapted.

Shapes: B sequences, L length, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from recsys_lab.config import UserError, first_line, install_hint
from recsys_lab.models.inputs.hub import need_folder, quiet
from recsys_lab.models.sequential.architectures import ARCHITECTURES, Sizes, architecture_of


@dataclass(frozen=True)
class Encoder:
    """An encoder without its token embeddings.

    Attributes:
        module: called with ``inputs_embeds`` and ``attention_mask``.
        width_in: width of its inputs.
        width_out: width of its states.
    """

    module: nn.Module
    width_in: int
    width_out: int


def from_sizes(name: str, sizes: Sizes, dropout: float) -> Encoder:
    """An encoder with random weights."""
    from transformers import AutoConfig

    quiet()
    words = dict.fromkeys((f"{word}_token_id" for word in ("pad", "bos", "eos", "sep", "cls")), 0)
    options = architecture_of(name).options(sizes)
    config = AutoConfig.for_model(name, vocab_size=2, **words, **options)
    return _without_words(_auto(name).from_config(_set_up(config, dropout)))


def from_pretrained(name: str, source: str, length: int, dropout: float) -> Encoder:
    """An encoder with pretrained weights, in float32.

    Args:
        name: the expected architecture.
        source: a folder, or a name on the Hugging Face Hub.
        length: length of the longest history, in events.
        dropout: dropout rate, replaces the stored ones.

    Raises:
        UserError: it cannot be loaded, has another architecture, is too short or incomplete.
    """
    quiet()
    config = read_pretrained(source, lambda: _config(source))
    _check(config, name, source, length)
    encoder, report = read_pretrained(
        source,
        lambda: _auto(name).from_pretrained(
            source, config=_set_up(config, dropout), dtype=torch.float32, use_safetensors=True,
            trust_remote_code=False, ignore_mismatched_sizes=True, output_loading_info=True,
        ),
    )  # fmt: skip
    made = _without_words(encoder)
    wrong = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    wrong &= set(made.module.state_dict())
    if wrong:
        raise UserError(
            f"model.pretrained: '{source}' has no {min(wrong)} that fits its config.json "
            f"({len(wrong)} such weights), which would stay random; give a complete model"
        )
    if is_causal(made) != ARCHITECTURES[name].causal:
        sees = "sees" if ARCHITECTURES[name].causal else "does not see"
        raise UserError(
            f"model.pretrained: according to its config.json, '{source}' {sees} later events, "
            f"unlike other {name} models, and cannot be trained correctly; give another model"
        )
    return made


def _check(config: Any, name: str, source: str, length: int) -> None:
    """Check the architecture, and that it has enough positions for the longest history."""
    kind = config.model_type
    if kind != name:
        known = kind in ARCHITECTURES
        raise UserError(
            f"model.architecture: got {name}, but model.pretrained={source} is a {kind}; "
            + (f"use model.architecture={kind}" if known else f"use {', '.join(ARCHITECTURES)}")
        )
    if ARCHITECTURES[name].numbered:
        # RoBERTa's positions start after the padding token's id.
        skipped = config.pad_token_id + 1 if name == "roberta" else 0
        positions = config.max_position_embeddings - skipped
        if length > positions:
            raise UserError(
                f"model.max_length: got {length}, expected at most {positions}, the positions of "
                f"model.pretrained={source}"
            )


def read_pretrained(source: str, read: Callable[[], Any]) -> Any:
    """What ``read`` returns of ``model.pretrained``.

    Raises:
        UserError: it cannot be read.
    """
    try:
        need_folder(source)
        return read()
    except Exception as error:  # files, Hub and network fail with many types
        raise UserError(
            f"model.pretrained: cannot load '{source}' ({first_line(error)}); give a folder with "
            "config.json and model.safetensors, or a name on the Hugging Face Hub"
        ) from error


def _config(source: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(source, trust_remote_code=False)


def _set_up(config: Any, dropout: float) -> Any:
    for option in ARCHITECTURES[config.model_type].dropouts:
        setattr(config, option, dropout)
    config.use_cache = False
    if config.model_type == "rwkv":
        config.rescale_every = 0  # it changes the weights in place in evaluation mode
    return config


def _auto(name: str) -> Any:
    import transformers

    # T5: only the encoder half.
    return transformers.AutoModelForTextEncoding if name == "t5" else transformers.AutoModel


def _without_words(encoder: Any) -> Encoder:
    """Remove the token embeddings and the pooler, which are not used."""
    config = encoder.config
    width_in = encoder.get_input_embeddings().embedding_dim
    width_out = config.word_embed_proj_dim if config.model_type == "opt" else config.hidden_size
    encoder.set_input_embeddings(nn.Identity())
    if "pooler" in dict(encoder.named_children()):
        encoder.pooler = None
    return Encoder(encoder, width_in, width_out)


def is_causal(encoder: Encoder) -> bool:
    """Whether changing the last event leaves all earlier states unchanged."""
    # Fixed inputs: drawing them would advance the seeded generator.
    x_BLD = torch.arange(4.0 * encoder.width_in).sin().view(1, 4, -1).repeat(2, 1, 1)
    x_BLD[1, 3] *= -1
    encoder.module.eval()
    with torch.no_grad():
        one, two = encoder.module(inputs_embeds=x_BLD).last_hidden_state[:, :3]
    encoder.module.train()
    return torch.allclose(one, two, atol=1e-6, rtol=1e-5)


def with_lora(encoder: Encoder, rank: int, alpha: int) -> Encoder:
    """The encoder with LoRA: small trained matrices added to its frozen linear layers.

    Hu et al., 2021, https://arxiv.org/abs/2106.09685.

    Args:
        encoder: its weights are not trained.
        rank: rank of the added matrices.
        alpha: their output is scaled by alpha / rank.

    Raises:
        UserError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise UserError(f"model.adapt=lora needs peft: {install_hint('peft')}") from None
    kind = str(encoder.module.config.model_type)  # type: ignore[union-attr]
    lora = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="all-linear",
        # Mamba's kernels read the weights of these layers directly.
        exclude_modules=r".*\.(dt_proj|out_proj)" if "mamba" in kind else None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about settings that it corrects itself
        return replace(encoder, module=get_peft_model(encoder.module, lora))
