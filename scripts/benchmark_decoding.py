"""Constrained beam search and training of TIGER, beside transformers' `generate` and a plain loop.

    python scripts/benchmark_decoding.py [--users 256] [--items 12000] [--beams 50] [--json FILE]

Decoding: the same weights and users in the lab's beam search and in `generate` with
`prefix_allowed_tokens_fn`, whose lists are compared; and the share of the search's time that is not
the model's (the trie step). Training: an epoch of random histories by the lab's loss, and by
`T5ForConditionalGeneration` over ids of tokens. Two threads.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from recsys_lab.contracts import Batch, SemanticIds
from recsys_lab.models.generative.decoding.beam import BeamSearch
from recsys_lab.models.generative.tiger import TIGER


class HuggingFaceTIGER:
    """The weights of a TIGER in transformers' T5, with one vocabulary of the codes of all levels.

    Token 0 begins and pads; then the codes of the levels follow one another.

    Args:
        model: a TIGER without user tokens.
    """

    def __init__(self, model: TIGER) -> None:
        from transformers import T5Config, T5ForConditionalGeneration

        class Levels(T5ForConditionalGeneration):
            """Its probabilities are among the codes of the level that comes next."""

            def forward(self, *args: Any, **kwargs: Any) -> Any:
                out = super().forward(*args, **kwargs)
                if out.logits.shape[1] == 1:
                    level = out.past_key_values.get_seq_length() - 1
                    others = torch.ones(out.logits.shape[2], dtype=torch.bool)
                    others[rows[level]] = False
                    out.logits.masked_fill_(others, -torch.inf)
                return out

        config = copy.deepcopy(model.decoder.config)
        values = {
            name: getattr(config, name)
            for name in ("d_model", "d_kv", "d_ff", "num_heads", "dropout_rate")
        }
        self.levels = len(model.num_codes)
        starts = torch.tensor((1, *model.num_codes)).cumsum(0).tolist()
        rows = [slice(a, b) for a, b in zip(starts, starts[1:], strict=False)]
        self.rows_of_levels = rows
        self.t5: Any = Levels(
            T5Config(
                **values, vocab_size=starts[-1], pad_token_id=0, decoder_start_token_id=0,
                eos_token_id=None, num_layers=model.config.num_layers,
                num_decoder_layers=model.config.num_decoder_layers,
            )
        ).eval()  # fmt: skip
        weights = dict(model.encoder.state_dict(prefix="encoder."))
        weights |= model.decoder.state_dict(prefix="decoder.")
        table = torch.cat([model.begin.detach().unsqueeze(0), model.codes.weight.detach()])
        for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head"):
            weights[f"{name}.weight"] = table
        self.t5.load_state_dict(weights)
        self.tokens_VL = model.rows_VL + 1
        self.children = _children(self.tokens_VL.tolist())

    def inputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids of the histories, padded, and their mask."""
        parts = self.tokens_VL[batch.items_T].split(batch.lengths)
        tokens = torch.nn.utils.rnn.pad_sequence(
            [part.flatten() for part in parts], batch_first=True
        )
        return tokens, tokens > 0

    def examples(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same without the last events, and the tokens of these."""
        tokens, mask = self.inputs(batch)
        ends = batch.offsets.diff().unsqueeze(1) * self.levels
        places = torch.arange(tokens.shape[1])
        mask = (places < ends - self.levels)[:, : tokens.shape[1] - self.levels]
        labels = self.tokens_VL[batch.items_T[batch.last_B]]
        return tokens[:, : mask.shape[1]] * mask, mask, labels

    def generate(self, batch: Batch, beams: int) -> tuple[list[list[tuple[int, ...]]], Any]:
        """Codes of the lists, and their scores, (B, W)."""
        tokens, mask = self.inputs(batch)
        out = self.t5.generate(
            tokens, attention_mask=mask, num_beams=beams, num_return_sequences=beams,
            max_new_tokens=self.levels, min_new_tokens=self.levels, do_sample=False,
            length_penalty=0.0, early_stopping=True, return_dict_in_generate=True,
            output_scores=True,
            prefix_allowed_tokens_fn=lambda _, ids: self.children[tuple(ids.tolist()[1:])],
        )  # fmt: skip
        first = torch.tensor([rows.start for rows in self.rows_of_levels])
        codes = (out.sequences[:, 1:] - first).tolist()
        lists = [tuple(codes_L) for codes_L in codes]
        users = range(0, len(lists), beams)
        return [lists[i : i + beams] for i in users], out.sequences_scores.view(-1, beams)


def _children(tokens: list[list[int]]) -> dict[tuple[int, ...], list[int]]:
    """The tokens that may follow each prefix."""
    found: dict[tuple[int, ...], set[int]] = {}
    for item in tokens:
        for length in range(len(item)):
            found.setdefault(tuple(item[:length]), set()).add(item[length])
    return {prefix: sorted(following) for prefix, following in found.items()}
