"""LC-Rec: a causal language model that reads and generates codes of items.

Shapes: B users, T events, V items, L levels, C codes of a level, W beams of a user, D width,
P tokens of the longest prompt, N tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.models.generative.base import CodeGenerator, code_losses, of_supervised_targets
from recsys_lab.models.generative.language_model import Cache, extend, load, prefill, states
from recsys_lab.models.generative.prompts import Prompts, prompts_of
from recsys_lab.models.inputs.item_columns import item_texts
from recsys_lab.models.sequential.encoders import Encoder, with_lora
from recsys_lab.models.sequential.layers import next_item_targets

if TYPE_CHECKING:
    from recsys_lab.contracts import Batch, SemanticIds, TrainingData


class LCRec(CodeGenerator):
    """A pretrained language model with codes as new tokens (Zheng et al., ICDE 2024).

    Its prompt names the items of the history by their codes, their texts or both; it is trained to
    answer with the codes of the next item, one prompt for each target. Each level has tokens of its
    own, with new embeddings that are always trained; only logits of a level's codes are computed.
    Weights that are not trained are not stored with the run, but loaded from ``pretrained`` again:
    their digest is part of the run's identity. Paper: https://arxiv.org/abs/2311.09049, without its
    auxiliary tasks.

    Args:
        config: the options.
        num_items: catalogue size V; the items come with the codes.
    """

    one_target = True

    @dataclass(frozen=True)
    class Config:
        """Options of `LCRec`.

        Attributes:
            pretrained: folder or Hub name of a causal language model with its tokenizer
                (safetensors). Its ``generation_config.json`` is not read.
            adapt: how it is trained: "lora", small matrices added to its layers (Hu et al., 2021,
                https://arxiv.org/abs/2106.09685); "full"; "frozen", only the tokens of the codes.
            lora_rank: rank of these matrices; null: 8 for lora.
            lora_alpha: their output is scaled by alpha / rank; null: 32 for lora.
            max_length: most recent events in the prompt.
            prompt: the prompt, with ``{history}`` in place of the items.
            codes: whether items of the history are named by their codes.
            text: item column of type text that names them too, or a list of columns of any type,
                joined to one text; or null.
            text_tokens: most tokens of an item's text.
        """

        pretrained: str
        adapt: Literal["full", "lora", "frozen"]
        lora_rank: Annotated[int, Ge(1)] | None
        lora_alpha: Annotated[int, Ge(1)] | None
        max_length: Annotated[int, Ge(1)]
        prompt: str
        codes: bool
        text: str | Annotated[list[str], MinLen(1)] | None
        text_tokens: Annotated[int, Ge(1)]

    prompts: Prompts
    offsets_L: Tensor
    code_outputs: nn.Parameter | None

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        del num_items
        if not config.codes and config.text is None:
            raise UserError(
                "model.codes: got false without model.text, so the history would be empty; name a "
                "column with model.text, or use model.codes=true"
            )
        if config.adapt != "lora" and (config.lora_rank or config.lora_alpha):
            raise UserError(
                f"model.lora_rank, model.lora_alpha: not read with model.adapt={config.adapt}; use "
                "model.adapt=lora, or null for both"
            )
        self.config = config
        self.window = config.max_length
        self.register_state_dict_post_hook(_drop_frozen)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_add_frozen)  # type: ignore[no-untyped-call]

    def make_weights(self, ids: SemanticIds, data: TrainingData) -> None:
        """Load the language model, tokenise the items, make the tokens of the codes."""
        config = self.config
        found = load(config.pretrained)
        self._contents = {"language_model": found.digest()[:16]} if _has_memory(found.words) else {}
        self.words = found.words.num_embeddings  # ids from here on are codes
        with torch.device("cpu"):  # also where a model is built to estimate its memory
            counts_L = torch.tensor(ids.num_codes)
            offsets_L = self.words + counts_L.cumsum(0) - counts_L
            self.register_buffer("offsets_L", offsets_L, persistent=False)
            codes_VL = ids.codes_VL + offsets_L if config.codes else None
            texts = None if config.text is None else item_texts(data.features, config.text)
            self.prompts = prompts_of(
                found.tokenizer, config.prompt, codes_VL, texts, config.text_tokens
            )
        tokens = self.prompts.fixed + self.prompts.longest * config.max_length + len(ids.num_codes)
        found.check_length(tokens)
        self.values_per_beam = found.values_per_token * (
            len(ids.num_codes) + -(-tokens // self._decoding.width)  # a share of the prompt
        )
        self.code_inputs = nn.Parameter(_new_rows(found.words, sum(ids.num_codes)))
        self.code_outputs = None  # the same, if those of the words are
        if not found.is_tied:  # small: all codes are about equally probable at first
            self.code_outputs = nn.Parameter(0.02 * torch.randn(self.code_inputs.shape))
        body = found.body
        if config.adapt != "full":
            body.requires_grad_(False)
        if config.adapt == "lora":
            encoder = Encoder(body, found.words.embedding_dim, found.words.embedding_dim)
            body = with_lora(encoder, config.lora_rank or 8, config.lora_alpha or 32).module
        self.body = body

    def contents(self) -> dict[str, str]:
        """Digest of the language model: see `recsys_lab.contracts.ReadsFiles`."""
        return self._contents

    def compile(self, **options: Any) -> None:
        """Not supported: see `recipe.compile`.

        Raises:
            UserError: always.
        """
        del options
        raise UserError(
            "recipe.compile: got true, but lc_rec cannot be compiled; use recipe.compile=false"
        )

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean over the last events of the sum of their codes' losses, each level a part."""
        history, _ = next_item_targets(batch)
        codes_BL = self.codes_VL[batch.items_T[batch.last_B]]
        prompt = self.prompts(history.items_T, history.offsets.diff())
        prompt = prompt.followed_by((codes_BL + self.offsets_L)[:, :-1])
        states_BPD = states(self.body, self._embedded(prompt.tokens_BP), prompt)
        states_BLD = states_BPD[:, -codes_BL.shape[1] :]
        codes_NL, states_NLD = of_supervised_targets(batch, codes_BL, states_BLD)
        logits = [
            self._logits(state_ND, level) for level, state_ND in enumerate(states_NLD.unbind(1))
        ]
        return code_losses(logits, codes_NL.T)

    def start(self, batch: Batch) -> Cache:
        """Read the prompts."""
        prompt = self.prompts(batch.items_T, batch.offsets.diff())
        return prefill(self.body, self._embedded(prompt.tokens_BP), prompt)

    def step(
        self, cache: Cache, level: int, parents_BW: Tensor | None, codes_BW: Tensor | None
    ) -> tuple[Tensor, Cache]:
        """Logits of the codes of a level: see `CodeGenerator.step`."""
        if parents_BW is not None and codes_BW is not None:
            embedded_BWE = self._embedded(codes_BW + self.offsets_L[level - 1])
            cache = extend(self.body, cache, parents_BW, embedded_BWE, level - 1)
        return self._logits(cache.states_BWD, level), cache

    def _embedded(self, tokens_BN: Tensor) -> Tensor:
        """Embeddings of words and codes, (B, N, D)."""
        code_BN = tokens_BN - self.words
        words_BND = self.body.get_input_embeddings()(tokens_BN.clamp(max=self.words - 1))
        codes_BND = F.embedding(code_BN.clamp(min=0), self.code_inputs)
        return torch.where((code_BN >= 0).unsqueeze(2), codes_BND, words_BND)

    def _logits(self, states_BD: Tensor, level: int) -> Tensor:
        """(..., D) -> (..., C)."""
        first = sum(self.num_codes[:level])
        rows_CD = self.code_inputs if self.code_outputs is None else self.code_outputs
        return states_BD @ rows_CD[first : first + self.num_codes[level]].T


def _has_memory(words: nn.Embedding) -> bool:
    return words.weight.device.type != "meta"


def _new_rows(words: nn.Embedding, count: int) -> Tensor:
    """Embeddings of new tokens, spread as those of the words."""
    weight_WD = words.weight.detach()
    rows_CD = torch.randn(count, weight_WD.shape[1])
    return rows_CD * weight_WD.std(0) + weight_WD.mean(0)


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    """What is loaded from the pretrained model and not trained."""
    everything: dict[str, Tensor] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        module._save_to_state_dict(everything, f"{name}." if name else "", keep_vars=True)
    return {name: value for name, value in everything.items() if not value.requires_grad}


def _drop_frozen(model: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Store only what is trained."""
    for name in _frozen(model):
        del state[prefix + name]


def _add_frozen(model: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Load only what is trained."""
    state.update({prefix + name: value for name, value in _frozen(model).items()})
