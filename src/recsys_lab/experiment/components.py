"""The components of a run, each built once from its config."""

from __future__ import annotations

import logging
import random
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError, build
from recsys_lab.contracts import (
    FittedModel,
    SemanticIds,
    Traits,
    UsesSemanticIds,
    UsesTrainingData,
    ValidatesData,
    check_model,
    check_own_parts,
    traits,
)
from recsys_lab.contracts.processes import shard
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.evaluation.catalogue import read_catalogue
from recsys_lab.evaluation.metrics.registry import definitions, make_beyond
from recsys_lab.evaluation.protocols.base import RankingProtocol, evaluate, fingerprint
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.experiment.semantic_ids import semantic_ids_of
from recsys_lab.models.ranking import TIE_RULE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from omegaconf import DictConfig

    from recsys_lab.contracts import Decoding
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.evaluation.catalogue import Catalogue
    from recsys_lab.evaluation.metrics.user_mean import BeyondMetric
    from recsys_lab.evaluation.results import Results
    from recsys_lab.semantic_ids.run_vectors import Restore
    from recsys_lab.tracking.tracking import Tracking


_log = logging.getLogger(__name__)


class Components:
    """The components of a run, each built once from its config.

    Components that need no data are built immediately, data and model in `attach`, the loss and
    trackers on first use, because not every run has them.

    Args:
        cfg: the whole config.
        restore: restores a run whose item vectors the codes of the items are made of.

    Attributes:
        seed: seed of the weights and of all random draws in training.
        inputs: features, texts and context of the model.
        recipe: training settings (not used by a fitted model).
        protocol: evaluation protocol.
        init_from: the run with the initial weights, or None.
        semantic_ids: the codes of the items, if the model generates them, else None.
        decoding: how their lists are computed, likewise.
        origin: the source of the initial weights: see `recsys_lab.experiment.init_from`.
        data: the prepared dataset.
        model: the recommender, untrained.
        catalogue: the items, for metrics beyond accuracy.
        device: device of ranking.
    """

    data: PreparedDataset
    model: Any
    catalogue: Catalogue
    device: str

    def __init__(self, cfg: DictConfig, restore: Restore) -> None:
        check_own_parts(cfg)
        self._cfg, self._restore = cfg, restore
        self.inputs, self.recipe = build(cfg.inputs), build(cfg.recipe)
        self.protocol: RankingProtocol = build(cfg.evaluation)
        self.seed: int = cfg.seed
        self.init_from: str | None = cfg.get("init_from")
        self.origin: Mapping[str, Any] | None = None
        self.semantic_ids: SemanticIds | None = None
        self.decoding: Decoding | None = None

    @cached_property
    def loss(self) -> Any:
        """The training loss; not used by a fitted model; None if the model makes its own."""
        return build(self._cfg.loss) if "loss" in self._cfg else None

    @cached_property
    def tracking(self) -> Tracking:
        """The trackers of the run."""
        tracking: Tracking = build(self._cfg.tracking)
        return tracking

    def prepare(self) -> PreparedDataset:
        """The prepared dataset; prepared from its source if it does not exist."""
        return prepare_from(self._cfg)

    def new_model(self, num_items: int) -> Any:
        """A new model, with weights drawn from torch's generator.

        Raises:
            UserError: the model lacks a required attribute or method.
        """
        model = build(self._cfg.model, num_items=num_items)
        check_model(model)
        return model

    def attach(
        self, data: PreparedDataset, run: Path | None = None, *, refit: bool = False
    ) -> None:
        """Set the data, seed all generators, build the model.

        Args:
            data: the prepared dataset.
            run: folder of the finished run to restore, or None.
            refit: whether its model was refit on training and validation events.
        """
        self.data = data
        self.protocol.attach(data)
        options = self.protocol.config
        self.catalogue = read_catalogue(data, options.category_feature, options.embeddings_path)
        self._make_model(data.with_validation() if refit else data, run)
        self.device = self.recipe.device() if isinstance(self.model, torch.nn.Module) else "cpu"
        self.beyond()  # raises errors of missing columns before training
        if self.traits.reads_next_time:
            _log.warning(
                "leak: %s reads the time of the event that it predicts, in training and in "
                "ranking. A deployed model cannot, so its results are not comparable with those "
                "of other models; its protocol is marked, and compare needs --force for it",
                self.model_name,
            )

    def again(self, data: PreparedDataset) -> Components:
        """A copy with a new model and loss, to train on other data."""
        again = copy(self)
        again.__dict__.pop("loss", None)
        again.data = data
        again._make_model(data)
        return again

    def _make_model(self, data: PreparedDataset, run: Path | None = None) -> None:
        """Build the untrained model, from the same seed each time."""
        seed_everything(self.seed)
        self.model = self.new_model(data.num_items)
        if isinstance(self.model, ValidatesData):
            self.model.check_data(data)
        self.complete(self.model, data, run)
        self.inputs.attach(self.model, data, run)
        if self._cfg.get("loss", {}).get("cosine") and not self.is_fitted:
            self._rank_by_cosine()

    def complete(self, model: Any, data: PreparedDataset, run: Path | None = None) -> None:
        """Give a model what its weights depend on: the data and the items' codes."""
        if isinstance(model, UsesTrainingData):
            model.read_data(data)
        if isinstance(model, UsesSemanticIds):
            decoding = build(self._cfg.decoding)
            longest = data.num_items if self.protocol.ranks_all else self.protocol.max_k
            # Before codes are made, which may take long.
            decoding.check_length(min(longest, data.num_items))
            vectors = traits(model).reads_vectors
            self.semantic_ids = semantic_ids_of(
                self._cfg, data, self._restore, run, vectors=vectors
            )
            decoding.read_codes(self.semantic_ids)
            model.read_semantic_ids(self.semantic_ids, data, decoding)
            self.decoding = decoding

    def _rank_by_cosine(self) -> None:
        """Make the model rank by the cosines that the loss trains."""
        if self.traits.cosine is None:
            raise UserError(
                f"loss.cosine: got true, but {self._cfg.model._target_} ranks only by dot "
                "products: give the model an attribute cosine that its recommend reads (as in "
                "DotProductModel), or use loss.cosine=false"
            )
        self.model.cosine = True

    @property
    def is_fitted(self) -> bool:
        """Whether the model is fitted instead of trained by gradient descent."""
        return isinstance(self.model, FittedModel)

    @property
    def traits(self) -> Traits:
        """The traits of the model."""
        return traits(self.model)

    @property
    def model_name(self) -> str:
        """The model's class."""
        return type(self.model).__name__

    @property
    def users_at_once(self) -> int:
        """Number of users ranked in one call."""
        of_memory = self.protocol.batch_size(self.data.num_items)
        return min(of_memory, self.traits.users_at_once or of_memory)

    @property
    def validation_users(self) -> int | None:
        """Number of users that validation ranks; None: all, as for a fitted model."""
        return None if self.is_fitted else self.recipe.config.validation_users

    def batches(
        self, phase: str, *, beyond: bool = False, users: int | None = None
    ) -> EvaluationBatches:
        """Batches of the users of a phase; with several processes, of this process's share.

        Args:
            phase: ``validation`` or ``test``.
            beyond: whether metrics beyond accuracy are computed.
            users: number of users, the same sample in every run on the data; None: all.
        """
        seen, stated = self.protocol.config.exclude_seen, self.traits
        return EvaluationBatches(
            self.data,
            phase,
            batch_size=self.users_at_once,
            window=stated.window,
            exclude_seen=seen or (beyond and self.protocol.reads_history),
            shard=shard(),
            features=stated.features,
            next_times=stated.reads_next_time,
            target_times=self.protocol.reads_times,
            target_values=self.protocol.values,
            users=users,
        )

    @property
    def knows_ids_alone(self) -> bool:
        """Whether the model reads only the index of an item."""
        return bool(self.inputs.plain) and not self.traits.features

    def evaluate(self, phase: str, beyond: Mapping[str, BeyondMetric] | None = None) -> Results:
        """Rank for every user of a phase; metrics beyond accuracy: those given, or all for test."""
        if beyond is None:
            beyond = self.beyond() if phase == "test" else {}
        users = self.validation_users if phase == "validation" else None
        batches = self.batches(phase, beyond=bool(beyond), users=users)
        return evaluate(self.model, batches, self.protocol, self.device, beyond)

    def beyond(self) -> dict[str, BeyondMetric]:
        """The metrics beyond accuracy, empty."""
        config = self.protocol.config
        return make_beyond(config.beyond_accuracy, config.beyond_ks, self.catalogue.to(self.device))

    def metric_definitions(self) -> dict[str, dict[str, Any]]:
        """Definitions of metrics that read a column or a file, or are a user's own."""
        return definitions(self.protocol.config, self.catalogue, self.protocol.values)

    def protocol_fields(self) -> dict[str, Any]:
        """Everything that must be equal for two runs to be compared."""
        leak = {"model_reads": "time of the target"} if self.traits.reads_next_time else {}
        return {**self.data.protocol_fields(), **self.protocol.fields(TIE_RULE), **leak}

    def protocol_record(self) -> dict[str, Any]:
        """The fields with their fingerprint, for the run record."""
        fields = self.protocol_fields()
        return {"fingerprint": fingerprint(fields), "fields": fields}


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch; the batch order has a separate generator."""
    random.seed(seed)
    np.random.seed(seed)  # for libraries that read the global state
    torch.manual_seed(seed)
