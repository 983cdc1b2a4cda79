"""Causal language models of the transformers library: loaded, adapted, called.

Shapes: B users, P tokens, W beams of a user, A earlier beams of a user, D width.
"""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.models.inputs.hub import quiet, revision
from recsys_lab.models.sequential.encoders import Encoder, is_causal, read_pretrained

if TYPE_CHECKING:
    from recsys_lab.models.generative.prompts import Prompt

_LAYER = tuple[Tensor, Tensor]  # keys and values, (B, heads, P, width of a head)


@dataclass(frozen=True)
class LanguageModel:
    """A language model without its output layer.

    Attributes:
        body: returns the states of tokens, in float32.
        tokenizer: of its texts.
        settings: bytes of its ``config.json``.
    """

    body: Any
    tokenizer: Any
    settings: bytes

    @property
    def words(self) -> nn.Embedding:
        """The token embeddings."""
        found: nn.Embedding = self.body.get_input_embeddings()
        return found

    @property
    def is_tied(self) -> bool:
        """Whether the output layer has the weights of the token embeddings."""
        return bool(self.body.config.tie_word_embeddings)

    @property
    def values_per_token(self) -> int:
        """Numbers that are kept of a token: keys and values of all layers, at most."""
        return 2 * int(self.body.config.num_hidden_layers * self.body.config.hidden_size)

    @property
    def kept_layers(self) -> list[Any]:
        """What each layer keeps of the tokens before."""
        from transformers import DynamicCache

        return list(DynamicCache(config=self.body.config).layers)

    def check_length(self, tokens: int) -> None:
        """Check that texts of this length can be read.

        Raises:
            UserError: they are too long.
        """
        limits = [getattr(self.body.config, "max_position_embeddings", None)]
        limits += [layer.sliding_window for layer in self.kept_layers if layer.is_sliding]
        most = min((limit for limit in limits if limit is not None), default=tokens)
        if tokens > most:
            raise UserError(
                f"model.max_length: the longest prompt would have {tokens} tokens, but "
                f"model.pretrained reads {most}; use a smaller model.max_length or "
                "model.text_tokens, or a model that reads more"
            )

    def digest(self) -> str:
        """SHA-256 of the settings and the weights as read."""
        digest = hashlib.sha256(self.settings)
        for name, value in sorted(self.body.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()


def load(source: str) -> LanguageModel:
    """Load a causal language model, without its ``generation_config.json``.

    On the meta device only its shapes are read.

    Args:
        source: a folder, or a name on the Hugging Face Hub; weights are read from safetensors only.

    Raises:
        UserError: it cannot be loaded, is incomplete or no causal language model that can be told
            the positions of its tokens.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils.hub import cached_file

    quiet()
    place: dict[str, Any] = {"trust_remote_code": False}

    def read() -> tuple[Any, Any, Any, bytes]:
        place["revision"] = revision(source)
        config = AutoConfig.from_pretrained(source, **place)
        tokenizer = AutoTokenizer.from_pretrained(source, **place)
        settings = cached_file(source, "config.json", revision=place["revision"])
        assert settings is not None  # else it raises
        if torch.get_default_device().type == "meta":
            shapes = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
            return shapes, [], tokenizer, Path(settings).read_bytes()
        body, report = AutoModel.from_pretrained(
            source, **place, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        return body, report["missing_keys"], tokenizer, Path(settings).read_bytes()

    body, missing, tokenizer, settings = read_pretrained(source, read)
    if missing:
        raise UserError(
            f"model.pretrained: '{source}' has no {min(missing)} ({len(missing)} such weights), "
            "which would stay random; give a complete model"
        )
    found = LanguageModel(body, tokenizer, settings)
    _check(found, source)
    return found


def _check(found: LanguageModel, source: str) -> None:
    """Check what prompts with padding and several beams at once need."""
    config, problem = found.body.config, ""
    if config.is_encoder_decoder:
        problem = "is an encoder and a decoder"
    elif "position_ids" not in inspect.signature(found.body.forward).parameters:
        problem = "does not accept the positions of its tokens"
    elif not all(layer.is_croppable for layer in found.kept_layers):
        problem = "keeps a state other than keys and values of its tokens"
    elif found.words.weight.device.type != "meta":
        width = found.words.embedding_dim
        if not is_causal(Encoder(found.body, width, width)):
            problem = "sees later tokens"
    if problem:
        raise UserError(
            f"model.pretrained: '{source}' ({config.model_type}) {problem}; give a causal language "
            "model of attention layers, such as llama, qwen3 or gpt2"
        )


@dataclass(frozen=True)
class Cache:
    """What has been computed for B users: their prompts, and beams after them.

    Attributes:
        layers: keys and values of each layer: the prompt's P tokens, then the A beams so far.
        is_token_BP: False at the padding of the prompts.
        sees_BWA: which of the A beams each beam of the last level extends, itself included.
        lengths_B: tokens of each prompt.
        states_BWD: states of the beams of the last level; of the prompts at first, W = 1.
    """

    layers: tuple[_LAYER, ...]
    is_token_BP: Tensor
    sees_BWA: Tensor
    lengths_B: Tensor
    states_BWD: Tensor


def states(body: Any, embedded_BPE: Tensor, prompt: Prompt) -> Tensor:
    """States of all tokens, (B, P, D)."""
    found: Tensor = body(
        inputs_embeds=embedded_BPE,
        attention_mask=prompt.is_token_BP.long(),
        position_ids=prompt.positions_BP,
        use_cache=False,
    ).last_hidden_state
    return found


def prefill(body: Any, embedded_BPE: Tensor, prompt: Prompt) -> Cache:
    """Read the prompts, once for all beams."""
    from transformers import DynamicCache

    kept = DynamicCache()  # without the config: every layer keeps all tokens
    output = body(
        inputs_embeds=embedded_BPE,
        attention_mask=prompt.is_token_BP.long(),
        position_ids=prompt.positions_BP,
        past_key_values=kept,
        use_cache=True,
    )
    states_BD = output.last_hidden_state[:, -1:]
    none_B1A = prompt.is_token_BP[:, :1][:, :, None][:, :, :0]
    lengths_B = prompt.is_token_BP.sum(1)
    return Cache(_layers(kept), prompt.is_token_BP, none_B1A, lengths_B, states_BD)


def extend(body: Any, cache: Cache, parents_BW: Tensor, embedded_BWE: Tensor, level: int) -> Cache:
    """Add a token to W beams of each user; all share the keys and values of the prompt.

    Beams are tokens of one sequence, of which each sees the prompt, those that it extends, and
    itself; so that nothing is copied or reordered when beams are chosen.

    Args:
        body: the language model.
        cache: of the level before; not changed.
        parents_BW: beam of the level before that each beam extends.
        embedded_BWE: embedding of its new token.
        level: the token's place after the prompt, from 0.
    """
    from transformers import DynamicCache

    users, beams = parents_BW.shape
    index_BWA = parents_BW.unsqueeze(2).expand(-1, -1, cache.sees_BWA.shape[2])
    itself_BWW = torch.eye(beams, dtype=torch.bool, device=parents_BW.device).expand(users, -1, -1)
    sees_BWA = torch.cat([cache.sees_BWA.gather(1, index_BWA), itself_BWW], 2)
    prompt_BWP = cache.is_token_BP.unsqueeze(1).expand(-1, beams, -1)
    seen = torch.cat([prompt_BWP, sees_BWA], 2).unsqueeze(1)
    # Added to the attention scores: the same for all implementations of attention.
    mask = torch.zeros(seen.shape, dtype=embedded_BWE.dtype, device=seen.device)
    mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)
    kept = DynamicCache(cache.layers)
    output = body(
        inputs_embeds=embedded_BWE,
        attention_mask=mask,
        position_ids=(cache.lengths_B + level).unsqueeze(1).expand(-1, beams),
        past_key_values=kept,
        use_cache=True,
    )
    return Cache(
        _layers(kept), cache.is_token_BP, sees_BWA, cache.lengths_B, output.last_hidden_state
    )


def _layers(kept: Any) -> tuple[_LAYER, ...]:
    return tuple((layer.keys, layer.values) for layer in kept.layers)
