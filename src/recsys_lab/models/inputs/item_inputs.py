"""Item vectors from ids, features and texts, and context of events.

Shapes: T events, n items looked up, B users, V items, D width, E width of text vectors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.files.reading import reading
from recsys_lab.models.inputs.context import Context
from recsys_lab.models.inputs.item_columns import full_name, item_texts
from recsys_lab.models.inputs.item_features import (
    KnownItems,
    Projected,
    item_feature,
    principal_components,
)
from recsys_lab.models.inputs.text_vectors import save, text_vectors
from recsys_lab.models.sequential.dot_product import DotProductModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.contracts import FeatureColumns, TrainingData

KEPT = "text_vectors.npy"
"""File of the text vectors in a run's folder."""


class Inputs:
    """Replaces a model's item embeddings by vectors fused from several sources, and adds context.

    The vectors are used for the events of a history and to score items; a model with a separate
    output table gets a second set from the same sources. For items without training events the ID
    embedding, which was never trained, is left out.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Inputs`.

        Attributes:
            ids: give every item an ID embedding.
            id_dropout: probability of dropping an item's ID embedding in training, so that the
                other sources work for items without training events (DropoutNet: Volkovs et al.,
                NIPS 2017). Must be 0 if there is no other source.
            features: item columns to embed: categorical, list or numeric.
            text: item column of type text, or a list of columns of any type, joined to one text
                in this order; or null.
            encoder: sentence encoder of the text: a folder or a name on the Hugging Face Hub.
            text_mode: "projected": encoder vectors through a trained linear layer; "initial":
                their D principal components as initial values of the ID embeddings; "frozen":
                their D principal components, not trained.
            fusion: how two or more sources are combined: "sum"; "concat", one linear layer over
                all; "gate", a mean weighted by a trained gate.
            context: user and event columns to embed and add to every event, and time.hour,
                time.weekday, time.gap (since the event before).
            cache_dir: folder of the text vectors' cache, shared by all runs.
        """

        ids: bool
        id_dropout: Annotated[float, Ge(0), Lt(1)]
        features: list[str]
        text: str | Annotated[list[str], MinLen(1)] | None
        encoder: str | None
        text_mode: Literal["projected", "initial", "frozen"]
        fusion: Literal["sum", "concat", "gate"]
        context: list[str]
        cache_dir: str

    def __init__(self, config: Config) -> None:
        _check_text(config)
        _check_sources(config)
        _check_names("inputs.features", [full_name(name) for name in config.features])
        _check_names("inputs.context", config.context)
        self.config = config
        self._text_VE: NDArray[np.float32] | None = None

    @property
    def plain(self) -> bool:
        """Whether only ID embeddings are used, which every model supports."""
        config = self.config
        return config.ids and not (config.features or config.text or config.context)

    def attach(self, model: Any, data: TrainingData, run: Path | None = None) -> None:
        """Replace the model's item embeddings, in place.

        Args:
            model: changed in place.
            data: the prepared dataset.
            run: folder of a finished run with stored text vectors: no encoder is needed.

        Raises:
            UserError: the model does not support it, or the dataset lacks a column.
        """
        if self.plain:
            return
        config = self.config
        if not isinstance(model, DotProductModel):
            raise UserError(
                f"inputs: {type(model).__name__} knows items by their index alone; use inputs=ids, "
                "or a model that derives from "
                "recsys_lab.models.sequential.dot_product.DotProductModel"
            )
        text, dim = self._text(data.features, run), model.items.embedding_dim
        model.items = self._fused(model.items, text, data)  # type: ignore[assignment]
        if model.output is not None:  # items without training events are scored by it, too
            model.output = self._fused(model.output, text, data)  # type: ignore[assignment]
        if config.context:
            model.context = Context(config.context, data, dim)
            model.features = model.context.columns

    def _fused(
        self, free: nn.Embedding, text: NDArray[np.float32] | None, data: TrainingData
    ) -> nn.Module:
        """The module that replaces a model's ID embeddings."""
        config, dim = self.config, free.embedding_dim
        parts: list[nn.Module] = []
        if config.ids:
            is_known_V = data.training_item_counts() > 0
            # Vectors initialised from texts are informative without training events.
            is_known_V |= config.text is not None and config.text_mode == "initial"
            parts.append(KnownItems(free, is_known_V, config.id_dropout))
        parts += [item_feature(full_name(name), data.features, dim) for name in config.features]
        if text is not None and config.text_mode == "projected":
            parts.append(Projected(torch.from_numpy(text), dim))
        elif text is not None:
            components = principal_components(text, dim, free.weight)
            if config.text_mode == "initial":
                with torch.no_grad():
                    free.weight.copy_(components)
            else:
                parts.append(nn.Embedding.from_pretrained(components, freeze=True))
        if len(parts) == 1 and isinstance(parts[0], KnownItems):
            return free
        return FusedItems(parts, dim, config.fusion, data.num_items)

    @property
    def text_vectors(self) -> NDArray[np.float32] | None:
        """Encoder vectors of the texts, float32 (V, E); None without texts, or if restored."""
        return self._text_VE

    def contents(self) -> dict[str, str]:
        """Digests of inputs that are not in the prepared dataset: the text vectors."""
        if self._text_VE is None:
            return {}
        return {"text_vectors": hashlib.sha256(self._text_VE.tobytes()).hexdigest()[:8]}

    def keep(self, run: Path) -> list[str]:
        """Save the text vectors, if any, in a run's folder; returns the file names."""
        if self._text_VE is None:
            return []
        save(run / KEPT, self._text_VE)
        return [KEPT]

    def _text(self, columns: FeatureColumns, run: Path | None) -> NDArray[np.float32] | None:
        if self.config.text is None:
            return None
        if run is not None and (run / KEPT).exists():
            with reading(run / KEPT, "; restore the file, or train again"):
                kept: NDArray[np.float32] = np.load(run / KEPT, allow_pickle=False)
            return kept
        assert self.config.encoder is not None  # checked before
        texts = item_texts(columns, self.config.text)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        cache_dir = Path(self.config.cache_dir)
        self._text_VE = text_vectors(texts, self.config.encoder, cache_dir, device)
        return self._text_VE


def _check_text(config: Inputs.Config) -> None:
    """Refuse text options that contradict each other, or are given without a text column."""
    if isinstance(config.text, list):
        _check_names("inputs.text", config.text)
    if config.text is None:
        for option, value, unset in (
            ("encoder", config.encoder, None), ("text_mode", config.text_mode, "projected"),
        ):  # fmt: skip
            if value != unset:
                raise UserError(
                    f"inputs.{option}: got {value} without inputs.text, so there is nothing to "
                    "encode; name the item column with inputs.text, or leave the option out"
                )
        return
    if config.encoder is None:
        raise UserError(
            "inputs.encoder: none given for inputs.text; give a folder with a sentence encoder "
            "or its name on the Hugging Face Hub"
        )
    if config.text_mode == "initial" and not config.ids:
        raise UserError(
            "inputs.text_mode: got initial, which initialises the ID embeddings, with "
            "inputs.ids=false; use inputs.ids=true, or inputs.text_mode=projected or frozen"
        )


def _check_sources(config: Inputs.Config) -> None:
    """Refuse options that need more sources than are given."""
    has_text = config.text is not None and config.text_mode != "initial"
    others = len(config.features) + has_text  # besides the ID embeddings
    if not (config.ids or others):
        raise UserError(
            "inputs: no source of item vectors; set inputs.ids=true, inputs.features or inputs.text"
        )
    if config.id_dropout and not (config.ids and others):
        raise UserError(
            f"inputs.id_dropout: got {config.id_dropout}, which needs a second source; use "
            "inputs.ids=true with inputs.features, or inputs.text with "
            "inputs.text_mode=projected or frozen; else inputs.id_dropout=0"
        )
    if config.fusion != "sum" and config.ids + others < 2:
        raise UserError(
            f"inputs.fusion: got {config.fusion}, but items have only one source; add "
            "inputs.features or inputs.text, or use inputs.fusion=sum"
        )


def _check_names(option: str, names: list[str]) -> None:
    """Refuse duplicate column names."""
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise UserError(f"{option}: names '{twice[0]}' twice; name each column once")


class FusedItems(nn.Module):
    """Item vectors fused from several sources; used like an `nn.Embedding`.

    Args:
        parts: modules that return (n, D) for n items.
        dim: D.
        fusion: how the parts are combined: see `Inputs.Config`.
        num_items: V.
    """

    def __init__(self, parts: list[nn.Module], dim: int, fusion: str, num_items: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.embedding_dim, self.num_embeddings = dim, num_items
        self.fusion = fusion
        self._kept: tuple[list[tuple[int, int]], Tensor] | None = None
        width = dim if fusion == "concat" else len(parts)
        self.mix = None if fusion == "sum" else nn.Linear(dim * len(parts), width)
        if self.mix is not None:  # preserves the scale of its inputs
            nn.init.normal_(self.mix.weight, std=(dim * len(parts)) ** -0.5)
            nn.init.zeros_(self.mix.bias)

    def forward(self, items: Tensor) -> Tensor:
        """Vectors of these items, (n,) -> (n, D)."""
        if self.training or torch.is_grad_enabled():
            self._kept = None  # fused optimizers change weights without a new version
        vectors = [part(items) for part in self.parts]
        if self.mix is None:
            return torch.stack(vectors).sum(0)
        mixed = self.mix(torch.cat(vectors, dim=-1))
        if self.fusion == "concat":
            return mixed  # type: ignore[no-any-return]
        gated: Tensor = torch.stack(vectors, dim=-1) * mixed.softmax(-1).unsqueeze(-2)
        return gated.sum(-1)

    @property
    def weight(self) -> Tensor:
        """Vectors of all items, (V, D); cached in evaluation."""
        sources = [*self.parameters(), *self.buffers()]
        # Inference-mode tensors have no version counter.
        if self.training or torch.is_grad_enabled() or any(s.is_inference() for s in sources):
            return self._all()
        # Loading or moving changes the pointer or the version; training clears the cache.
        versions = [(source.data_ptr(), source._version) for source in sources]
        kept = self._kept  # read once: another thread may set it
        if kept is None or kept[0] != versions:
            self._kept = kept = versions, self._all()
        return kept[1]

    def _all(self) -> Tensor:
        device = next(self.parts.parameters()).device
        vectors: Tensor = self(torch.arange(self.num_embeddings, device=device))
        return vectors
