"""What a model knows of an item besides its index, and of an event besides its item.

Shapes: T events, n items looked up, B users, V items, D width, E width of text vectors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.files.reading import reading
from recsys_lab.models.inputs.context import Context
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
"""The texts' vectors in the folder of a run."""


class Inputs:
    """Replaces a model's item vectors by ones made of several sources, and adds context.

    The vectors enter the model with the events and score the items; a model that scores by a table
    of its own has a second set there, made of the same sources. An item that never occurs in
    training has no part from its index: that part was never trained.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Inputs`.

        Attributes:
            ids: every item has a free vector of its own.
            id_dropout: chance that this vector is left out, each time that an item is looked up
                in training, so that the other sources learn to stand alone: for items that
                training never meets (DropoutNet: Volkovs et al., NIPS 2017). 0 where there is no
                other source.
            features: item columns that are embedded: categorical, list or numeric.
            text: item column of type text, or null.
            encoder: sentence encoder for it: a folder or a name on the Hugging Face Hub.
            text_mode: project the encoder's vectors by a trained layer (projected); or reduce them
                to D by principal components, as the first values of the free vectors (initial)
                or as vectors that are not trained (frozen).
            fusion: of two sources or more: their sum; one layer over all of them (concat); or a
                mean weighted by a trained gate (gate).
            context: user and event columns that are embedded and added to every event, and
                time.hour, time.weekday, time.gap (since the event before).
            cache_dir: keeps encoded texts, for all runs.
        """

        ids: bool
        id_dropout: Annotated[float, Ge(0), Lt(1)]
        features: list[str]
        text: str | None
        encoder: str | None
        text_mode: Literal["projected", "initial", "frozen"]
        fusion: Literal["sum", "concat", "gate"]
        context: list[str]
        cache_dir: str

    def __init__(self, config: Config) -> None:
        _check_text(config)
        _check_sources(config)
        _check_names("inputs.features", [_full(name) for name in config.features])
        _check_names("inputs.context", config.context)
        self.config = config
        self._text_VE: NDArray[np.float32] | None = None

    @property
    def plain(self) -> bool:
        """Whether items are their index alone: any model will do then."""
        config = self.config
        return config.ids and not (config.features or config.text or config.context)

    def attach(self, model: Any, data: TrainingData, run: Path | None = None) -> None:
        """Put the sources into the model.

        Args:
            model: to be changed.
            data: the prepared dataset.
            run: the folder of a finished run that kept its texts' vectors: no encoder is needed.

        Raises:
            UserError: the model has no place for them, or the dataset lacks a column.
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
        if model.output is not None:  # an item never met must be known there, too
            model.output = self._fused(model.output, text, data)  # type: ignore[assignment]
        if config.context:
            model.context = Context(config.context, data, dim)
            model.features = model.context.columns

    def _fused(
        self, free: nn.Embedding, text: NDArray[np.float32] | None, data: TrainingData
    ) -> nn.Module:
        """What stands in place of a model's free vectors."""
        config, dim = self.config, free.embedding_dim
        parts: list[nn.Module] = []
        if config.ids:
            is_known_V = data.training_item_counts() > 0
            # What a text has set says something of items, too, that training never meets.
            is_known_V |= config.text is not None and config.text_mode == "initial"
            parts.append(KnownItems(free, is_known_V, config.id_dropout))
        parts += [item_feature(_full(name), data.features, dim) for name in config.features]
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

    def contents(self) -> dict[str, str]:
        """A hash of what is read from elsewhere than the prepared dataset: the texts' vectors."""
        if self._text_VE is None:
            return {}
        return {"text_vectors": hashlib.sha256(self._text_VE.tobytes()).hexdigest()[:8]}

    def keep(self, run: Path) -> list[str]:
        """Leave the texts' vectors, if there are any, in the folder of a run; the files' names."""
        if self._text_VE is None:
            return []
        save(run / KEPT, self._text_VE)
        return [KEPT]

    def _text(self, columns: FeatureColumns, run: Path | None) -> NDArray[np.float32] | None:
        if self.config.text is None:
            return None
        if run is not None and (run / KEPT).exists():
            with reading(run / KEPT, "; bring the file back, or train again"):
                kept: NDArray[np.float32] = np.load(run / KEPT, allow_pickle=False)
            return kept
        assert self.config.encoder is not None  # checked before
        texts = columns.text(_full(self.config.text))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        cache_dir = Path(self.config.cache_dir)
        self._text_VE = text_vectors(texts, self.config.encoder, cache_dir, device)
        return self._text_VE


def _full(name: str) -> str:
    return name if name.startswith("item.") else f"item.{name}"


def _check_text(config: Inputs.Config) -> None:
    """Refuse options of texts that contradict each other, or have no text to work on."""
    if config.text is None:
        for option, value, unset in (
            ("encoder", config.encoder, None), ("text_mode", config.text_mode, "projected"),
        ):  # fmt: skip
            if value != unset:
                raise UserError(
                    f"inputs.{option}: got {value}, and without inputs.text there is nothing to "
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
            "inputs.text_mode: got initial, which sets the free vectors, with inputs.ids=false; "
            "use inputs.ids=true, or inputs.text_mode=projected or frozen"
        )


def _check_sources(config: Inputs.Config) -> None:
    """Refuse what needs more sources than there are."""
    has_text = config.text is not None and config.text_mode != "initial"
    beside = len(config.features) + has_text  # the free vectors
    if not (config.ids or beside):
        raise UserError(
            "inputs: nothing says what an item is; set inputs.ids=true, inputs.features or "
            "inputs.text"
        )
    if config.id_dropout and not (config.ids and beside):
        raise UserError(
            f"inputs.id_dropout: got {config.id_dropout}, which leaves nothing of an item; it "
            "needs inputs.ids=true and beside it inputs.features, or inputs.text with "
            "inputs.text_mode=projected or frozen; else use inputs.id_dropout=0"
        )
    if config.fusion != "sum" and config.ids + beside < 2:
        raise UserError(
            f"inputs.fusion: got {config.fusion}, and items have one source, so there is nothing "
            "to fuse; add inputs.features or inputs.text, or use inputs.fusion=sum"
        )


def _check_names(option: str, names: list[str]) -> None:
    """Refuse a column that is named twice."""
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise UserError(f"{option}: names '{twice[0]}' twice; name each column once")


class FusedItems(nn.Module):
    """Stands where an `nn.Embedding` of the items stood: called with items, or read whole.

    Args:
        parts: each gives (n, D) for n items.
        dim: D.
        fusion: how the parts become one: see `Inputs.Config`.
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
        if self.mix is not None:  # keeps the size of the vectors that go in
            nn.init.normal_(self.mix.weight, std=(dim * len(parts)) ** -0.5)
            nn.init.zeros_(self.mix.bias)

    def forward(self, items: Tensor) -> Tensor:
        """Vectors of these items, (n,) -> (n, D)."""
        if self.training or torch.is_grad_enabled():
            self._kept = None  # a step may follow, and fused optimizers change weights unseen
        found = [part(items) for part in self.parts]
        if self.mix is None:
            return torch.stack(found).sum(0)
        mixed = self.mix(torch.cat(found, dim=-1))
        if self.fusion == "concat":
            return mixed  # type: ignore[no-any-return]
        gated: Tensor = torch.stack(found, dim=-1) * mixed.softmax(-1).unsqueeze(-2)
        return gated.sum(-1)

    @property
    def weight(self) -> Tensor:
        """Vectors of all items, (V, D); where nothing is trained, made once for all batches."""
        sources = [*self.parameters(), *self.buffers()]
        # Tensors of inference mode do not count their changes.
        if self.training or torch.is_grad_enabled() or any(s.is_inference() for s in sources):
            return self._all()
        # Loading and moving to a device change one of the two, training has dropped the table.
        made_of = [(source.data_ptr(), source._version) for source in sources]
        if self._kept is None or self._kept[0] != made_of:
            self._kept = made_of, self._all()
        return self._kept[1]

    def _all(self) -> Tensor:
        device = next(self.parts.parameters()).device
        found: Tensor = self(torch.arange(self.num_embeddings, device=device))
        return found
