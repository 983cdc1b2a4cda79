"""Config -> the parts of a run; shared by the verbs that need a model."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig

from recsys_lab.comparison.systems import REFIT
from recsys_lab.config import UserError, build
from recsys_lab.contracts import FittedModel, UsesItemCounts, ValidatesData, ValidatesDevice
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.evaluation.catalogue import read_catalogue
from recsys_lab.evaluation.metrics.registry import definition, make_beyond
from recsys_lab.evaluation.protocols.base import RankingProtocol, evaluate, fingerprint
from recsys_lab.experiment.distributed import shard
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.models.ranking import TIE_RULE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from omegaconf import DictConfig

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.evaluation.catalogue import Catalogue
    from recsys_lab.evaluation.metrics.registry import BeyondMetric
    from recsys_lab.evaluation.results import Results
    from recsys_lab.training.recipe import Recipe


_log = logging.getLogger(__name__)


@dataclass
class Components:
    """What a run is made of.

    Attributes:
        data: the prepared dataset.
        model: the recommender, untrained.
        inputs: what the model knows of items and events.
        protocol: how it is judged.
        recipe: how it is trained (a fitted model reads nothing of it).
        device: where ranking happens.
        catalogue: the items, for the metrics beyond accuracy.
        origin: of a run that begins with another's weights: see `recsys_lab.experiment.init_from`.
    """

    data: PreparedDataset
    model: Any
    inputs: Any
    protocol: RankingProtocol
    recipe: Recipe
    device: str
    catalogue: Catalogue
    origin: Mapping[str, Any] | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether the model is fitted in one pass instead of trained."""
        return isinstance(self.model, FittedModel)

    def batches(self, phase: str, *, beyond: bool = False) -> EvaluationBatches:
        """The users of a phase, as the protocol asks; of several processes, this one's share.

        Args:
            phase: ``validation`` or ``test``.
            beyond: whether metrics beyond accuracy are to be computed.
        """
        seen = self.protocol.config.exclude_seen
        return EvaluationBatches(
            self.data,
            phase,
            batch_size=self.protocol.batch_size(self.data.num_items),
            window=self.model.window,
            exclude_seen=seen or (beyond and self.protocol.reads_history),
            shard=shard(),
            features=getattr(self.model, "features", ()),
            next_times=self.reads_next_time,
            target_times=self.protocol.reads_times,
            target_values=self.protocol.values,
        )

    @property
    def reads_next_time(self) -> bool:
        """Whether the model is told when the event to be predicted comes: a leak."""
        return getattr(self.model, "reads_next_time", False)

    @property
    def knows_ids_alone(self) -> bool:
        """Whether the model reads nothing of an item but its index."""
        return bool(self.inputs.plain) and not getattr(self.model, "features", ())

    def evaluate(self, phase: str, beyond: Mapping[str, BeyondMetric] | None = None) -> Results:
        """Rank for every user of a phase; metrics beyond accuracy: those given, or all for test."""
        if beyond is None:
            beyond = self.beyond() if phase == "test" else {}
        batches = self.batches(phase, beyond=bool(beyond))
        return evaluate(self.model, batches, self.protocol, self.device, beyond)

    def beyond(self) -> dict[str, BeyondMetric]:
        """The metrics beyond accuracy, empty."""
        config = self.protocol.config
        return make_beyond(config.beyond_accuracy, config.beyond_ks, self.catalogue.to(self.device))

    def metric_definitions(self) -> dict[str, dict[str, str]]:
        """What each metric that reads a column or a file is computed from."""
        config = self.protocol.config
        names = [f"{name}@{k}" for name in config.beyond_accuracy for k in config.beyond_ks]
        found = {name: definition(name, config, self.catalogue) for name in names}
        of_values = {} if self.protocol.values is None else self.protocol.values.definitions()
        return {name: made for name, made in found.items() if made} | of_values

    def protocol_fields(self) -> dict[str, Any]:
        """Everything that must be equal for two runs to be compared."""
        leak = {"model_reads": "time of the target"} if self.reads_next_time else {}
        return {**self.data.protocol_fields(), **self.protocol.fields(TIE_RULE), **leak}

    def protocol_record(self) -> dict[str, Any]:
        """The fields with their fingerprint, for the run record."""
        fields = self.protocol_fields()
        return {"fingerprint": fingerprint(fields), "fields": fields}


def assemble(
    cfg: DictConfig,
    prepared: Callable[[DictConfig], PreparedDataset] = prepare_from,
    run: Path | None = None,
    *,
    refit: bool = False,
) -> Components:
    """Build what needs no data, get them, seed everything, build the model.

    Args:
        cfg: the whole config.
        prepared: gives the data.
        run: the folder of the finished run that is restored.
        refit: whether its model has learned from validation, too.
    """
    inputs, recipe, protocol = build(cfg.inputs), build(cfg.recipe), build(cfg.evaluation)
    data = prepared(cfg)
    protocol.attach(data)
    options = protocol.config
    catalogue = read_catalogue(data, options.category_feature, options.embeddings_path)
    model = make_model(cfg, data.with_validation() if refit else data, inputs, run)
    device = recipe.device() if isinstance(model, torch.nn.Module) else "cpu"
    parts = Components(data, model, inputs, protocol, recipe, device, catalogue)
    parts.beyond()  # what they lack is told before anything is trained
    if parts.reads_next_time:
        _log.warning(
            "LEAK: %s reads when the event to be predicted comes, in training and in ranking. No "
            "deployed model can, so its numbers are no evidence against other models'; its "
            "protocol is marked, and compare sets it beside others only with --force",
            cfg.model._target_.rpartition(".")[2],
        )
    return parts


def make_model(cfg: DictConfig, data: PreparedDataset, inputs: Any, run: Path | None = None) -> Any:
    """The model before it learns, the same whenever it is made.

    Args:
        cfg: the whole config.
        data: what it is to learn from.
        inputs: what it knows of items and events.
        run: the folder of the finished run that is restored.
    """
    seed_everything(cfg.seed)
    model = build(cfg.model, num_items=data.num_items)
    if isinstance(model, ValidatesData):
        model.check_data(data)
    inputs.attach(model, data, run)
    if cfg.loss.get("cosine") and not isinstance(model, FittedModel):
        _rank_by_cosine(model, cfg)
    return model


def make_loss(cfg: DictConfig, parts: Components) -> Any:
    """The loss, with what it must know of the data.

    Raises:
        UserError: it does not work on the run's device.
    """
    loss = build(cfg.loss)
    if isinstance(loss, ValidatesDevice):
        loss.check_device(parts.device)
    if isinstance(loss, UsesItemCounts):
        loss.read_counts(torch.from_numpy(parts.data.training_item_counts()))
    return loss


def warn_unread_options(cfg: DictConfig) -> None:
    """Say which options of the command line a model that is fitted in one pass does not read."""
    if not HydraConfig.initialized():
        return
    keys = [given.partition("=")[0].lstrip("+~") for given in HydraConfig.get().overrides.task]
    unread = [k for k in keys if k.partition(".")[0] in ("recipe", "loss") and k != REFIT]
    if unread:
        _log.warning(
            "%s: not read: %s is fitted in one pass, without a loss and a recipe",
            ", ".join(unread), cfg.model._target_.rpartition(".")[2],
        )  # fmt: skip


def _rank_by_cosine(model: Any, cfg: DictConfig) -> None:
    """Lists come from the scores that were trained."""
    if not hasattr(model, "cosine"):
        msg = (
            f"loss.cosine: got true, and {cfg.model._target_} ranks by the product alone: give the "
            "model an attribute cosine that its recommend heeds (as DotProductModel has), or use "
            "loss.cosine=false"
        )
        raise UserError(msg)
    model.cosine = True


def seed_everything(seed: int) -> None:
    """Python, NumPy and torch; batch order is drawn from the seed on its own."""
    random.seed(seed)
    np.random.seed(seed)  # for libraries that read the global state
    torch.manual_seed(seed)
