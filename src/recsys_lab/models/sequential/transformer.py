"""Hugging Face architectures as sequence encoders.

Shapes: B users, T concatenated events of all users, L longest history, D width, V items,
N supervised positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.models.sequential.architectures import Sizes, architecture_of
from recsys_lab.models.sequential.dot_product import DotProductModel, check_heads
from recsys_lab.models.sequential.encoders import Encoder, from_pretrained, from_sizes, with_lora
from recsys_lab.models.sequential.layers import (
    PaddedLayout,
    cloze_probabilities,
    next_item_targets,
    next_item_weights,
    rows_at,
    sample_cloze_mask,
    sent_mask,
)
from recsys_lab.models.sequential.rectangle import layout_of, with_appended

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.contracts import Batch


class Transformer(DotProductModel):
    """Item embeddings through an encoder of the transformers library, without token embeddings.

    ``next_item`` trains every position of a causal encoder to predict the next item, as SASRec;
    ``cloze`` trains a bidirectional encoder to predict masked events, as BERT4Rec.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Transformer`.

        Attributes:
            architecture: name of the architecture in transformers: see
                `recsys_lab.models.sequential.architectures`.
            objective: "next_item" for causal encoders, "cloze" for bidirectional ones.
            hidden_dim: width D of the item embeddings, and of an encoder with random weights.
            num_layers: layers of an encoder with random weights.
            num_heads: heads of an encoder with random weights; null: hidden_dim / 32, or none for
                an architecture without heads.
            feedforward_dim: inner width of an encoder with random weights; null: 4 x hidden_dim,
                or none for an architecture without feed-forward layers.
            max_length: most recent events that are read, including an appended masked event.
            dropout: all dropout rates of the encoder, and that of its inputs.
            pretrained: folder or Hub name of pretrained weights (safetensors); null: random
                weights.
            adapt: how the encoder is trained: "full"; "lora", small matrices added to its layers
                (Hu et al., 2021, https://arxiv.org/abs/2106.09685); "frozen", not at all.
            lora_rank: rank of these matrices; null: 8 for lora.
            lora_alpha: their output is scaled by alpha / rank; null: 16 for lora.
            mask_probability: probability of masking each event; null: 0.2 for cloze.
            last_probability: share of histories in which only the last event is masked; null: 0
                for cloze.
            init_std: standard deviation of the initial item embeddings.
        """

        architecture: str
        objective: Literal["next_item", "cloze"]
        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)] | None
        feedforward_dim: Annotated[int, Ge(1)] | None
        max_length: Annotated[int, Ge(2)]
        dropout: Annotated[float, Ge(0), Lt(1)]
        pretrained: str | None
        adapt: Literal["full", "lora", "frozen"]
        lora_rank: Annotated[int, Ge(1)] | None
        lora_alpha: Annotated[int, Ge(1)] | None
        mask_probability: Annotated[float, Gt(0), Lt(1)] | None
        last_probability: Annotated[float, Ge(0), Le(1)] | None
        init_std: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.is_cloze = config.objective == "cloze"
        self.window = config.max_length - self.is_cloze
        self.items = nn.Embedding(num_items, config.hidden_dim)
        nn.init.normal_(self.items.weight, std=config.init_std)
        drops = architecture_of(config.architecture).drops_inputs
        self.dropout = nn.Identity() if drops else nn.Dropout(config.dropout)
        if self.is_cloze:
            self.mask_probability = config.mask_probability or 0.2
            self.last_probability = config.last_probability or 0.0
            self.hidden_event = nn.Parameter(torch.empty(config.hidden_dim))
            nn.init.normal_(self.hidden_event, std=config.init_std)
        encoder = _encoder(config)
        self.blocks = nn.ModuleList([encoder.module])
        self.widen = _between(config.hidden_dim, encoder.width_in)
        self.narrow = _between(encoder.width_out, config.hidden_dim)

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States that predict, (N, D), and the target items, (N,).

        For cloze, the mask is drawn from torch's generator.
        """
        if not self.is_cloze:
            inputs, targets_N = next_item_targets(batch)
            layout = PaddedLayout.of(inputs.lengths, inputs.items_T.device)
            return self._states(self.embed(inputs), layout), targets_N
        drawn_T = sample_cloze_mask(batch, self.mask_probability, self.last_probability)
        hidden_T, index_N = sent_mask(drawn_T, batch.items_T.device)
        x_TD = torch.where(hidden_T.unsqueeze(1), self.hidden_event, self.embed(batch))
        states_TD = self._states(x_TD, PaddedLayout.of(batch.lengths, x_TD.device))
        return rows_at(states_TD, index_N), batch.items_T[index_N]

    def target_chances(self, batch: Batch) -> Tensor:
        """Probability of each event to be a target, (T,), on the host."""
        if not self.is_cloze:
            return next_item_weights(batch)
        return cloze_probabilities(batch, self.mask_probability, self.last_probability)

    def query_states(self, batch: Batch) -> Tensor:
        """The state of the last event of each history, or of an appended masked event, (B, D)."""
        x_TD = self.embed(batch)
        if not self.is_cloze:
            return self._states(x_TD, layout_of(batch))[batch.last_B]
        x_TD, layout, last_B = with_appended(batch, x_TD, self.hidden_event)
        return self._states(x_TD, layout)[last_B]

    def compile(self, **options: Any) -> None:
        """Compile the encoder, if its architecture profits from it."""
        if not architecture_of(self.config.architecture).recurrent:
            super().compile(**options)

    def _states(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        """(T, D) -> (T, D)."""
        x_BLD = layout.pad(self.widen(self.dropout(x_TD)))
        # Causal encoders do not see the padding after the events.
        mask_BL = layout.mask(x_TD.device).long() if self.is_cloze else None
        states_BLD = self.blocks[0](inputs_embeds=x_BLD, attention_mask=mask_BL).last_hidden_state
        return self.narrow(layout.unpad(states_BLD))  # type: ignore[no-any-return]


def _check(config: Transformer.Config) -> None:
    """Refuse options that contradict each other, before anything is built."""
    architecture = architecture_of(config.architecture)
    causal = architecture.causal
    if causal == (config.objective == "cloze"):
        why, use = (
            ("does not see later events, so it cannot fill a gap from both sides", "next_item")
            if causal
            else ("sees later events, so it would read its own target", "cloze")
        )
        raise UserError(
            f"model.objective: got {config.objective} with model.architecture="
            f"{config.architecture}, which {why}; use model.objective={use}"
        )
    if config.objective == "next_item":
        mask = {"mask_probability": config.mask_probability}
        last = {"last_probability": config.last_probability}
        _refuse_unread(mask | last, "objective=next_item", "objective=cloze")
    if config.adapt != "lora":
        lora = {"lora_rank": config.lora_rank, "lora_alpha": config.lora_alpha}
        _refuse_unread(lora, f"adapt={config.adapt}", "adapt=lora")
    sizes = {"num_heads": config.num_heads, "feedforward_dim": config.feedforward_dim}
    for option in architecture.ignores:
        if sizes[option] is not None:
            raise UserError(
                f"model.{option}: got {sizes[option]}, but {config.architecture} has none; use "
                f"model.{option}=null"
            )
    if config.pretrained is None:
        heads = _heads(config)
        check_heads(config.hidden_dim, heads)
        head = config.hidden_dim // heads
        if architecture.rotary and head % 2:
            raise UserError(
                f"model.num_heads: got {heads}, which makes heads of {config.architecture} "
                f"{head} wide, expected an even width; change it or model.hidden_dim"
            )
        if config.architecture == "rwkv" and config.num_layers == 1:
            raise UserError("model.num_layers: got 1; rwkv needs at least 2 layers")
        if config.adapt != "full":
            raise UserError(
                f"model.adapt: got {config.adapt} without model.pretrained: random weights would "
                "not be trained; use model.adapt=full, or name pretrained weights"
            )


def _refuse_unread(options: Mapping[str, float | None], given: str, needed: str) -> None:
    """Refuse options that have no effect with the given value of another option."""
    for option, value in options.items():
        if value is not None:
            raise UserError(
                f"model.{option}: got {value:g} with model.{given}, which does not read it; use "
                f"model.{needed}, or model.{option}=null"
            )


def _heads(config: Transformer.Config) -> int:
    if "num_heads" in architecture_of(config.architecture).ignores:
        return 1  # divides every width
    return config.num_heads or max(1, config.hidden_dim // 32)


def _between(width: int, wanted: int) -> nn.Module:
    return nn.Identity() if width == wanted else nn.Linear(width, wanted)


def _encoder(config: Transformer.Config) -> Encoder:
    name, length, dropout = config.architecture, config.max_length, config.dropout
    if config.pretrained is None:
        width = config.hidden_dim
        inner = config.feedforward_dim or 4 * width
        sizes = Sizes(width, config.num_layers, _heads(config), inner, length)
        return from_sizes(name, sizes, dropout)
    encoder = from_pretrained(name, config.pretrained, length, dropout)
    if config.adapt != "full":
        encoder.module.requires_grad_(False)
    if config.adapt == "lora":
        encoder = with_lora(encoder, config.lora_rank or 8, config.lora_alpha or 16)
    return encoder
