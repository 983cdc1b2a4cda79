"""Tiny causal language models with a tokenizer of words, made without a network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from recsys_lab.config import build
from recsys_lab.contracts import SemanticIds
from recsys_lab.models.generative.decoding.exact import ExactDecoding
from tests.models.test_contracts import options

VOCABULARY = "<s> ? ; a customer chose : next item red blue green big small hat shoe scarf coat"
WORDS = VOCABULARY.split()
KINDS = {
    "llama": {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    },
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128},
}  # fmt: skip
CODES = torch.tensor([[0, 0, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1], [2, 0, 1]])
NUM_CODES = (3, 2, 2)
TITLES = ["red hat", "blue hat", None, "green shoe", "big scarf", "small scarf", "red coat"]


def language_model(folder: Path, kind: str, **changes) -> str:
    """A language model with random weights and a tokenizer of `WORDS`; returns its folder."""
    torch.manual_seed(3)
    sizes = {**KINDS[kind], "vocab_size": len(WORDS), "bos_token_id": 0, "eos_token_id": 0}
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **changes))
    for weight in made.parameters():  # far from uniform predictions
        torch.nn.init.normal_(weight, std=0.4)
    made.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="?")
    fast.save_pretrained(folder)
    return str(folder)


def ids_of(codes=CODES, num_codes=NUM_CODES, vectors=None) -> SemanticIds:
    return SemanticIds(codes, num_codes, vectors, "made")


def data_of(titles=TITLES, counts=None):
    """What a generative model reads of a prepared dataset."""
    features = SimpleNamespace(
        text=lambda name: {"item.title": titles}[name],
        sentences=lambda names: [f"{title} {len(names)}" for title in titles],
    )
    counts = np.ones(len(titles), np.int64) if counts is None else np.array(counts)
    return SimpleNamespace(
        features=features, num_items=len(titles), training_item_counts=lambda: counts
    )


def lc_rec(pretrained: str, *, decoding=None, ids=None, data=None, **changes):
    """A model with weights."""
    values = {**options("lc_rec"), "prompt": "a customer chose:{history} next item:"}
    values |= {"max_length": 4, "pretrained": pretrained, **changes}
    torch.manual_seed(0)
    ids = ids or ids_of()
    decoding = decoding or ExactDecoding(ExactDecoding.Config(block_items=3))
    decoding.read_codes(ids)
    model = build(values, num_items=len(ids.codes_VL))
    model.read_semantic_ids(ids, data or data_of(), decoding)
    if model.code_outputs is not None:  # as the other weights
        torch.nn.init.normal_(model.code_outputs, std=0.4)
    return model
