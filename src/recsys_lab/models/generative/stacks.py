"""Causal layer stacks of generative models: the lab's blocks, and Hugging Face architectures.

A stack reads the history once (`Stack.prefill`); then the beams of a user, which all continue the
same history, are extended by a token at a time without copies of it.

Shapes: B users, T concatenated tokens, L longest history in tokens, D width, H heads, W beams of a
user, S tokens of a beam so far.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.models.sequential.architectures import architecture_of
from recsys_lab.models.sequential.blocks import TransformerBlock
from recsys_lab.models.sequential.dot_product import check_heads
from recsys_lab.models.sequential.encoders import from_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.models.sequential.architectures import Sizes
    from recsys_lab.models.sequential.layers import KeysValues, PaddedLayout


@dataclass(frozen=True)
class Prefix:
    """The histories as later tokens read them.

    Attributes:
        layers: keys and values of each layer, (B, H, L, D / H) each.
        mask_BL: False at the padding.
        lengths_B: tokens of each history, int64.
    """

    layers: Sequence[KeysValues]
    mask_BL: Tensor
    lengths_B: Tensor


class Stack(nn.Module):
    """Adds positions to tokens and runs them through causal layers.

    Attributes:
        blocks: the layers.
        beams_at_once: beams that `extend` is given at most, which bounds its memory.
    """

    blocks: nn.ModuleList
    beams_at_once: int

    @abstractmethod
    def forward(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        """States of all tokens, (T, D) -> (T, D)."""

    @abstractmethod
    def prefill(self, x_TD: Tensor, layout: PaddedLayout) -> tuple[Tensor, Prefix]:
        """The same, and what `extend` needs of the tokens."""

    @abstractmethod
    def extend(
        self, x_BWD: Tensor, prefix: Prefix, own: Sequence[KeysValues] | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """States of the next token of each beam.

        Args:
            x_BWD: the tokens.
            prefix: the histories.
            own: for each layer, keys and values of the beams' tokens so far, (B, H, W, S, D / H)
                each; None if there are none.

        Returns:
            States, (B, W, D), and ``own`` with one more token.
        """


class BlockStack(Stack):
    """The lab's pre-norm transformer blocks, with learned positions of items.

    Args:
        sizes: sizes; the length is in tokens.
        dropout: dropout rate of the inputs and of each sub-layer's output.
        attention_dropout: dropout rate of the attention weights.
        tokens_per_item: consecutive tokens that share a position.
    """

    beams_at_once = 256

    def __init__(
        self, sizes: Sizes, dropout: float, attention_dropout: float, *, tokens_per_item: int = 1
    ) -> None:
        super().__init__()
        check_heads(sizes.width, sizes.heads)
        self._tokens_per_item = tokens_per_item
        self.positions = nn.Embedding(sizes.length // tokens_per_item, sizes.width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                sizes.width, sizes.heads, sizes.inner, activation="gelu", norm="pre", gated=False,
                dropout=dropout, attention_dropout=attention_dropout, feedforward_dropout=0.0,
                causal=True,
            )
            for _ in range(sizes.layers)
        )  # fmt: skip
        self.final_norm = nn.LayerNorm(sizes.width)

    def forward(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        """States of all tokens."""
        x_TD = self._enter(x_TD, layout.position_T)
        for block in self.blocks:
            x_TD = block(x_TD, layout)
        return self.final_norm(x_TD)  # type: ignore[no-any-return]

    def prefill(self, x_TD: Tensor, layout: PaddedLayout) -> tuple[Tensor, Prefix]:
        """The same, and the keys and values of all layers."""
        x_TD, layers = self._enter(x_TD, layout.position_T), []
        for block in self.blocks:
            x_TD, kept = block.prefill(x_TD, layout)  # type: ignore[operator]
            layers.append(kept)
        return self.final_norm(x_TD), Prefix(layers, layout.mask(x_TD.device), layout.lengths_B)

    def extend(
        self, x_BWD: Tensor, prefix: Prefix, own: Sequence[KeysValues] | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """States of the next token of each beam."""
        position_B = prefix.lengths_B + (own[0][0].shape[3] if own else 0)
        x_BWD, longer = self._enter(x_BWD, position_B.unsqueeze(1)), []
        for at, block in enumerate(self.blocks):
            x_BWD, kept = block.extend(  # type: ignore[operator]
                x_BWD, prefix.layers[at], prefix.mask_BL, own[at] if own else None
            )
            longer.append(kept)
        return self.final_norm(x_BWD), longer

    def _enter(self, x: Tensor, position: Tensor) -> Tensor:
        at = torch.div(position, self._tokens_per_item, rounding_mode="floor")
        return self.dropout(x + self.positions(at))  # type: ignore[no-any-return]


class HuggingFaceStack(Stack):
    """An architecture of the transformers library with random weights and its own positions.

    The beams are appended to the history as a tree, by a mask in which a token sees the history and
    its own beam. That takes S + 1 times as many keys for a beam as there are beams, so they are few
    at a time.

    Args:
        architecture: its name: see `recsys_lab.models.sequential.architectures`.
        sizes: sizes; the length is in tokens.
        dropout: all dropout rates, and that of the inputs.

    Raises:
        UserError: it is not causal, or has no attention.
    """

    beams_at_once = 64

    def __init__(self, architecture: str, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        found = architecture_of(architecture)
        if found.recurrent or not found.causal:
            why = "stores no keys of the history" if found.causal else "sees later events"
            raise UserError(
                f"model.architecture: got {architecture}, which {why}; use gpt2, llama or qwen3, "
                "or null for the lab's own blocks"
            )
        check_heads(sizes.width, sizes.heads)
        self.dropout = nn.Identity() if found.drops_inputs else nn.Dropout(dropout)
        module = from_sizes(architecture, sizes, dropout).module
        sees: int | None = module.config.to_dict().get("sliding_window")  # type: ignore[union-attr, operator]
        if sees is not None and sizes.length > sees:
            raise UserError(
                f"model.max_length: makes histories of up to {sizes.length} codes, but "
                f"{architecture} attends to at most {sees}; use a shorter one"
            )
        self.blocks = nn.ModuleList([module])

    def forward(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        """States of all tokens."""
        # Causal layers do not see the padding after the tokens.
        x_BLD = layout.pad(self.dropout(x_TD))
        return layout.unpad(self.blocks[0](inputs_embeds=x_BLD).last_hidden_state)

    def prefill(self, x_TD: Tensor, layout: PaddedLayout) -> tuple[Tensor, Prefix]:
        """The same, and the keys and values of all layers."""
        states_BLD, layers = self._run(layout.pad(self.dropout(x_TD)), [])
        mask_BL = layout.mask(x_TD.device)
        return layout.unpad(states_BLD), Prefix(layers, mask_BL, layout.lengths_B)

    def extend(
        self, x_BWD: Tensor, prefix: Prefix, own: Sequence[KeysValues] | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """States of the next token of each beam."""
        beams, tokens = x_BWD.shape[1], own[0][0].shape[3] if own else 0
        past = list(prefix.layers)
        if own:
            past = [
                (torch.cat([key, k.flatten(2, 3)], 2), torch.cat([value, v.flatten(2, 3)], 2))
                for (key, value), (k, v) in zip(past, own, strict=True)
            ]
        one_each = torch.eye(beams, dtype=torch.bool, device=x_BWD.device)
        own_WS = torch.cat([one_each.repeat_interleave(tokens, 1), one_each], 1)
        mask_BWL = prefix.mask_BL.unsqueeze(1).expand(-1, beams, -1)
        mask_BWL = torch.cat([mask_BWL, own_WS.expand(len(x_BWD), -1, -1)], 2)
        position_BW = (prefix.lengths_B + tokens).unsqueeze(1).expand(-1, beams)
        states_BWD, layers = self._run(
            self.dropout(x_BWD), past,
            attention_mask=mask_BWL.unsqueeze(1), position_ids=position_BW,
        )  # fmt: skip
        new = [(k[:, :, -beams:].unsqueeze(3), v[:, :, -beams:].unsqueeze(3)) for k, v in layers]
        if own:
            pairs = zip(own, new, strict=True)
            new = [(torch.cat([a, k], 3), torch.cat([b, v], 3)) for (a, b), (k, v) in pairs]
        return states_BWD, new

    def _run(
        self, x_BLD: Tensor, past: Sequence[KeysValues], **options: Any
    ) -> tuple[Tensor, list[KeysValues]]:
        """States, and the keys and values of all tokens in each layer."""
        from transformers import DynamicCache

        # Without a config its layers keep all tokens, also those of a sliding window.
        cache: Any = DynamicCache(past or None)
        out = self.blocks[0](inputs_embeds=x_BLD, past_key_values=cache, use_cache=True, **options)
        return out.last_hidden_state, [(layer.keys, layer.values) for layer in cache.layers]
