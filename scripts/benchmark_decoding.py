"""Constrained beam search and training of TIGER, beside transformers' `generate` and a plain loop.

    python scripts/benchmark_decoding.py [--users 256] [--items 12000] [--beams 50] [--threads 2]

Decoding: the same weights and users in the lab's beam search and in `generate` with
`prefix_allowed_tokens_fn`, whose lists are compared; the share of the search's time outside the
model; and that of the trie step, which is outside the model and beyond what a beam search without a
trie does (log-softmax, sum, top-k over all codes). Training: steps on the same random histories by
the lab's loss, and by `T5ForConditionalGeneration` over ids of tokens, in turn.

The sizes are those of `configs/model/tiger.yaml`, the codes are drawn so that few of a level are
frequent. Times are CPU seconds of all threads, which a busy machine changes less than others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from recsys_lab.config import build, config_dir
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

        class Levels(T5ForConditionalGeneration):  # type: ignore[no-untyped-call]
            """Its probabilities are among the codes of the level that comes next."""

            def forward(self, *args: Any, **kwargs: Any) -> Any:
                out = super().forward(*args, **kwargs)
                if out.logits.shape[1] == 1:
                    level = out.past_key_values.get_seq_length() - 1
                    others = torch.ones(out.logits.shape[2], dtype=torch.bool)
                    others[rows[level]] = False
                    out.logits.masked_fill_(others, -torch.inf)
                return out

        config = model.decoder.config
        values = {
            name: getattr(config, name)
            for name in ("d_model", "d_kv", "d_ff", "num_heads", "dropout_rate")
        }
        self.levels = len(model.num_codes)
        starts = torch.tensor((1, *model.num_codes)).cumsum(0).tolist()
        rows = [slice(a, b) for a, b in pairwise(starts)]
        self.rows_of_levels = rows
        options: dict[str, Any] = {
            **values, "vocab_size": starts[-1], "pad_token_id": 0, "decoder_start_token_id": 0,
            "eos_token_id": None, "num_layers": model.config.num_layers,
            "num_decoder_layers": model.config.num_decoder_layers,
        }  # fmt: skip
        self.t5: Any = Levels(T5Config(**options))
        weights = dict(model.encoder.state_dict(prefix="encoder."))
        weights |= model.decoder.state_dict(prefix="decoder.")
        table = torch.cat([model.begin.detach().unsqueeze(0), model.codes.weight.detach()])
        for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head"):
            weights[f"{name}.weight"] = table
        self.t5.load_state_dict(weights)
        self.t5.train(False)
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


def drawn_codes(items: int, levels: int, codes: int) -> SemanticIds:
    """Distinct codes; at each level some are frequent, as those of k-means are."""
    weights = 1.0 / (torch.arange(codes) + 20.0)
    drawn: Tensor = torch.empty(0, levels, dtype=torch.int64)
    while len(drawn) < items:
        more = torch.multinomial(weights, items * levels, replacement=True).view(-1, levels)
        drawn = torch.cat([drawn, more]).unique(dim=0)
    return SemanticIds(drawn[torch.randperm(len(drawn))[:items]], (codes,) * levels, None, "")


def batch_of(users: int, items: int, longest: int) -> Batch:
    """Histories of random lengths, at least two events."""
    lengths = tuple(torch.randint(2, longest + 1, (users,)).tolist())
    offsets = torch.tensor((0, *lengths)).cumsum(0)
    return Batch(torch.arange(users), torch.randint(items, (sum(lengths),)), offsets, lengths)


def made(items: int, beams: int) -> tuple[TIGER, BeamSearch]:
    """TIGER of the shipped sizes with random weights."""
    values: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / "model/tiger.yaml"))
    values.pop("defaults")
    model: TIGER = build(values, num_items=items)
    decoding = BeamSearch(BeamSearch.Config(num_beams=beams))
    ids = drawn_codes(items, 3, 256)
    decoding.read_codes(ids)
    data: Any = SimpleNamespace()  # not read
    model.read_semantic_ids(ids, data, decoding)
    return model, decoding


class Timed:
    """A generator that adds up its time and keeps its logits."""

    def __init__(self, model: TIGER) -> None:
        self.model, self.seconds = model, 0.0
        self.logits: list[Tensor] = []

    def start(self, batch: Batch) -> Any:
        """The model's."""
        seconds, cache = timed(self.model.start, batch)
        self.seconds += seconds
        return cache

    def step(self, *given: Any) -> Any:
        """The model's."""
        seconds, (logits_BWC, cache) = timed(self.model.step, *given)
        self.seconds += seconds
        self.logits.append(logits_BWC)
        return logits_BWC, cache


def timed(work: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """Seconds of one call, and its result."""
    begun = time.process_time()
    result = work(*given)
    return time.process_time() - begun, result


def without_trie(logits: list[Tensor], beams: int) -> None:
    """What a beam search without a trie does with the logits of its levels."""
    scores_BW = torch.zeros(logits[0].shape[:2])
    for logits_BWC in logits:
        totals_BWC = logits_BWC.log_softmax(-1).add_(scores_BW.unsqueeze(2))
        scores_BW = totals_BWC.flatten(1).topk(beams).values


@torch.inference_mode()
def decoding_times(users: int, items: int, beams: int) -> dict[str, float]:
    """Seconds of both, the share of the trie step, and the share of equal lists."""
    model, search = made(items, beams)
    model.eval()
    batch, plain = batch_of(users, items, model.window), HuggingFaceTIGER(model)
    runs = []
    for _ in range(4):  # the first makes the trie
        counted: Any = Timed(model)
        seconds, found = timed(search.rank, counted, batch, beams, None)
        outside = seconds - counted.seconds
        least = min(timed(without_trie, counted.logits, beams)[0] for _ in range(3))
        runs.append((seconds, outside / seconds, (outside - least) / seconds))
    slow, (theirs, _) = timed(plain.generate, batch, beams)
    ours = model.codes_VL[found.items_BK].tolist()
    equal = [
        [tuple(codes) for codes in mine] == others
        for mine, others in zip(ours, theirs, strict=True)
    ]
    seconds, outside, trie = min(runs)
    return {
        "beam search, s": seconds, "generate, s": slow, "generate / beam search": slow / seconds,
        "share outside the model": outside, "share of the trie step": trie,
        "share of equal lists": sum(equal) / users,
    }  # fmt: skip


def training_times(items: int, steps: int) -> dict[str, float]:
    """Seconds of an epoch of some batches by both."""
    model, _ = made(items, 1)
    plain = HuggingFaceTIGER(model)
    batches = [batch_of(256, items, model.window + 1) for _ in range(steps)]
    both = [(model.train(), lambda batch: model.training_loss(batch)[0])]

    def plain_loss(batch: Batch) -> Tensor:
        tokens, mask, labels = plain.examples(batch)
        loss: Tensor = plain.t5(input_ids=tokens, attention_mask=mask, labels=labels).loss
        return loss

    both.append((plain.t5.train(), plain_loss))
    optimizers = [torch.optim.AdamW(module.parameters(), lr=1e-4) for module, _ in both]
    totals = [0.0, 0.0]

    def step(which: int, batch: Batch) -> None:
        optimizers[which].zero_grad()
        both[which][1](batch).backward()
        optimizers[which].step()

    for number, batch in enumerate(batches):
        for which in (0, 1):
            seconds, _ = timed(step, which, batch)
            totals[which] += seconds * (number > 0)  # the first is not counted
    return {
        "training, s": totals[0], "plain loop, s": totals[1],
        "training / plain loop": totals[0] / totals[1],
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--beams", type=int, default=50)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    figures = decoding_times(given.users, given.items, given.beams)
    figures |= training_times(given.items, given.steps)
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
