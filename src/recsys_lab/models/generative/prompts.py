"""Prompts of a language model: histories as token ids, padded on the left.

Shapes: B users, T events, V items, L levels, P tokens of the longest prompt, N tokens of all
pieces, S pieces of all prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

HISTORY = "{history}"
_AFTER_ITEM = ";"


@dataclass(frozen=True)
class Prompt:
    """Token ids of some prompts.

    Attributes:
        tokens_BP: token ids; arbitrary at the padding, which is on the left.
        is_token_BP: False at the padding.
    """

    tokens_BP: Tensor
    is_token_BP: Tensor

    @property
    def positions_BP(self) -> Tensor:
        """Position of each token in its prompt, from 0; 0 at the padding."""
        return (self.is_token_BP.cumsum(1) - 1).clamp(min=0)

    def followed_by(self, tokens_BN: Tensor) -> Prompt:
        """The prompts with N more tokens each."""
        more_BN = torch.ones_like(tokens_BN, dtype=torch.bool)
        return Prompt(
            torch.cat([self.tokens_BP, tokens_BN], 1), torch.cat([self.is_token_BP, more_BN], 1)
        )


class Prompts(nn.Module):
    """Joins the tokens of a template and of the items of each history.

    Each piece (the text before the history, an item, the text after it) is tokenised separately, so
    that an item has the same tokens in every prompt.

    Args:
        pieces: token ids of each item, then those before and those after the history, V + 2.

    Attributes:
        longest: tokens of the longest item.
        fixed: tokens besides those of items.
    """

    tokens_N: Tensor
    starts_V: Tensor
    lengths_V: Tensor

    def __init__(self, pieces: Sequence[Sequence[int]]) -> None:
        super().__init__()
        lengths_V = torch.tensor([len(piece) for piece in pieces])
        tokens_N = torch.tensor([token for piece in pieces for token in piece], dtype=torch.int64)
        self.longest, self.fixed = int(lengths_V[:-2].max()), int(lengths_V[-2:].sum())
        self.register_buffer("tokens_N", tokens_N, persistent=False)
        self.register_buffer("starts_V", lengths_V.cumsum(0) - lengths_V, persistent=False)
        self.register_buffer("lengths_V", lengths_V, persistent=False)

    def forward(self, items_T: Tensor, lengths_B: Tensor) -> Prompt:
        """The prompts of B histories with these lengths, items concatenated."""
        pieces_S, counts_B = self._pieces(items_T, lengths_B)
        sizes_S = self.lengths_V[pieces_S]
        rows_S = torch.repeat_interleave(counts_B)
        sizes_B = torch.zeros_like(counts_B).index_add_(0, rows_S, sizes_S)
        ends_S = sizes_S.cumsum(0)
        total, width = int(ends_S[-1]), int(sizes_B.max())
        piece_N = torch.repeat_interleave(sizes_S, output_size=total)
        place_N = torch.arange(total, device=piece_N.device)
        within_N = place_N - (ends_S - sizes_S)[piece_N]
        rows_N = rows_S[piece_N]
        # A row's last token is in the last column.
        columns_N = width - (sizes_B.cumsum(0)[rows_N] - place_N)
        tokens_BP = items_T.new_zeros(len(counts_B), width)
        tokens_BP[rows_N, columns_N] = self.tokens_N[self.starts_V[pieces_S][piece_N] + within_N]
        places_P = torch.arange(width, device=piece_N.device)
        return Prompt(tokens_BP, places_P >= (width - sizes_B).unsqueeze(1))

    def _pieces(self, items_T: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The pieces of all prompts, (S,), and their number in each, (B,)."""
        counts_B = lengths_B + 2
        ends_B = counts_B.cumsum(0)
        before = len(self.lengths_V) - 2
        pieces_S = items_T.new_full((len(items_T) + 2 * len(counts_B),), -1)
        pieces_S[ends_B - counts_B] = before
        pieces_S[ends_B - 1] = before + 1
        pieces_S[pieces_S < 0] = items_T
        return pieces_S, counts_B


def prompts_of(
    tokenizer: Any, template: str, codes_VL: Tensor | None, texts: Sequence[str | None] | None,
    text_tokens: int,
) -> Prompts:  # fmt: skip
    """The prompts of a catalogue.

    Args:
        tokenizer: of the language model.
        template: the text, with ``{history}`` where the items are.
        codes_VL: token ids of the items' codes, or None to leave them out.
        texts: of the items, or None to leave them out.
        text_tokens: most tokens of an item's text; the rest is cut.

    Raises:
        UserError: the template does not have ``{history}`` once.
    """
    if template.count(HISTORY) != 1:
        raise UserError(f"model.prompt: got {template!r}, expected {HISTORY} once in it")

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    before, after = template.split(HISTORY)
    start = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    end = ids(_AFTER_ITEM)
    codes: list[list[int]] = [] if codes_VL is None else codes_VL.tolist()
    words = [ids(f" {text.strip()}" if text else "")[:text_tokens] for text in texts or ()]
    parts = [part for part in (codes, words) if part]
    items = [[*(token for ids in item for token in ids), *end] for item in zip(*parts, strict=True)]
    return Prompts([*items, start + ids(before), ids(after)])
