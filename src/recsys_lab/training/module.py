"""The LightningModule for all trained models, losses and protocols."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from recsys_lab.config import UserError
from recsys_lab.contracts import MakesLoss, traits
from recsys_lab.contracts.processes import own_draws
from recsys_lab.evaluation.protocols.base import RankingProtocol, evaluate_batch
from recsys_lab.training.several import Positions
from recsys_lab.training.targets import count_targets, supervised_positions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim import Optimizer

    from recsys_lab.contracts import Batch, DenseModel, EvaluationBatch, Loss
    from recsys_lab.evaluation.results import Results
    from recsys_lab.training.recipe import Recipe


class SequentialModule(pl.LightningModule):
    """Trains ``model`` with ``loss``, and validates with the same code as the test.

    Args:
        model: a trained model.
        loss: the loss; None for a model that makes its own: see `MakesLoss`.
        recipe: optimizer and schedule.
        protocol: ranking protocol of the validation.
        steps_per_epoch: optimizer steps per epoch, for the schedule.
    """

    model: Any  # torch registers it as a sub-module and loses its type

    def __init__(
        self,
        model: DenseModel,
        loss: Loss | None,
        recipe: Recipe,
        protocol: RankingProtocol,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.model = model
        self._loss = loss
        self._recipe = recipe
        self._protocol = protocol
        self._total_steps = recipe.total_steps(steps_per_epoch)
        self._results = self._new_results()
        # A model of its own: weights that are swapped for a validation can end in a checkpoint.
        self.average: Any = None
        if recipe.config.ema_decay is not None:
            self.average = deepcopy(self.model).requires_grad_(False)
            self._move_average = get_ema_multi_avg_fn(recipe.config.ema_decay)
        if recipe.config.compile:
            model.compile(dynamic=True)  # in place: parameter names stay the same
        self._seed = torch.initial_seed()
        self._positions: list[int] = []  # of the batches of this step so far, in all processes
        self.look_every = 0  # optimizer steps between values of `seen`; 0: none
        self.seen: tuple[Tensor, float] | None = None  # a step's gradient norm and learning rate
        self.loss_sum: Tensor | float = 0.0
        self.loss_steps = 0
        self.last_loss: Tensor | float = math.nan
        self.part_sums: dict[str, Tensor | float] = {}
        self.validation: dict[str, float] = {}
        self.diagnostics: dict[str, float] = {}  # of the lists of the validation

    def is_better(self, monitor: str, value: float, other: float) -> bool:
        """Whether a value of a validation metric such as ``val/ndcg@10`` beats another."""
        higher = self._results.higher_is_better(monitor.removeprefix("val/"))
        return value > other if higher else value < other

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the epoch so far."""
        return float(self.loss_sum) / max(1, self.loss_steps)

    @property
    def losses(self) -> dict[str, float]:
        """The mean loss of the epoch so far, and the parts of a model's own loss."""
        steps = max(1, self.loss_steps)
        parts = {f"train/{name}": float(value) / steps for name, value in self.part_sums.items()}
        return {"train/loss": self.mean_loss, **parts}

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Batch | EvaluationBatch:
        """Without waiting for the copy: Lightning waits for batches that are not tensors."""
        del dataloader_idx
        moved: Batch | EvaluationBatch = batch.to(device, non_blocking=True)
        return moved

    def on_train_epoch_start(self) -> None:
        """Reset the mean loss; not called when an epoch is resumed."""
        self.loss_sum, self.loss_steps, self.part_sums = 0.0, 0, {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss at the supervised positions."""
        with own_draws(self._seed, self.current_epoch, batch_idx):
            if isinstance(self.model, MakesLoss):
                return self._own_loss(batch)
            return self._loss_of_states(batch)

    def _loss_of_states(self, batch: Batch) -> Tensor:
        states_ND, targets_N = self.model.training_states(batch)
        keep_N = None
        if batch.supervised_T is not None:
            keep_N = supervised_positions(self.model, batch)
        positions, states_ND, targets_N = Positions.of(batch, states_ND, targets_N, keep_N)
        if positions.total:
            assert self._loss is not None  # the config check
            with positions.known():
                loss = self._loss(states_ND, targets_N, self.model.item_table())
            if not isinstance(loss, Tensor) or loss.ndim:
                raise UserError(
                    f"{type(self._loss).__name__} returned {_kind(loss)}, expected a tensor "
                    "without dimensions: the mean over the targets"
                )
        else:  # no supervised position: zero gradients for all parameters
            loss = 0.0 * (states_ND.sum() + self.model.item_table().sum())
        return self._counted(loss, positions)

    def _own_loss(self, batch: Batch) -> Tensor:
        """The loss that the model computes; its parts are averaged over the epoch."""
        positions = Positions.counted(batch, count_targets(self.model, batch))
        loss, parts = self.model.training_loss(batch)
        return self._counted(loss, positions, parts)

    def _counted(
        self, loss: Tensor, positions: Positions, parts: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Add a batch's loss to the epoch's mean, and weight it within the optimizer step."""
        # Summed on the device: reading it each step would sync.
        self.last_loss, means = positions.means(loss.detach(), parts or {})
        for name, value in means.items():
            self.part_sums[name] = self.part_sums.get(name, 0.0) + value
        self.loss_sum = self.loss_sum + self.last_loss
        self.loss_steps += bool(positions.total)
        self._positions.append(positions.total)
        # In units of the step's first batch: sums would overflow in half precision.
        return loss * (positions.weight / (self._positions[0] or 1))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Rescale the gradient to that of the mean over the step's supervised positions.

        Lightning divides each batch's loss by ``accumulate_grad_batches``, regardless of the number
        of batches in the step and of positions in a batch.
        """
        first, total = self._positions[0] or 1, sum(self._positions) or 1
        self._positions = []
        scale = self._recipe.config.accumulate_grad_batches * first / total
        gradients = [one.grad for one in self.model.parameters() if one.grad is not None]
        for gradient in gradients if scale != 1 else ():
            gradient.mul_(scale)
        if self.look_every and (self.trainer.global_step + 1) % self.look_every == 0:
            norm = get_total_norm([g.coalesce().values() if g.is_sparse else g for g in gradients])
            self.seen = norm, float(optimizer.param_groups[0]["lr"])

    @property
    def judged(self) -> Any:
        """The model that is validated and kept."""
        return self.model if self.average is None else self.average

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """A step, and the average with the new weights, before a checkpoint can be written."""
        super().optimizer_step(*arguments, **options)
        if self.average is not None:
            averages, weights = self.average.parameters(), self.model.parameters()
            self._move_average(list(averages), list(weights), 0)

    def _new_results(self) -> Results:
        return self._protocol.results(diagnostics=traits(self.model).diagnostics)

    def on_validation_epoch_start(self) -> None:
        """Reset the results."""
        self._results = self._new_results()

    def validation_step(self, batch: EvaluationBatch, batch_idx: int) -> None:
        """Rank one batch."""
        del batch_idx
        try:
            evaluate_batch(self._results, self.judged, batch, self._protocol)
        except ValueError as error:
            if not math.isnan(self.mean_loss):
                raise
            raise UserError(
                f"{error}: the mean training loss of epoch {self.current_epoch + 1} is NaN; lower "
                "recipe.learning_rate, set recipe.gradient_clip, or fix a loss of your own"
            ) from error

    def on_validation_epoch_end(self) -> None:
        """Publish the means as ``val/...`` for trackers and callbacks."""
        # Stored separately, because Lightning's log rounds to float32.
        self.validation = {f"val/{name}": v for name, v in self._results.compute().items()}
        of_lists = self._results.diagnostics().items()
        self.diagnostics = {f"diagnostics/{name}": value for name, value in of_lists}
        self.log_dict(self.validation | self.diagnostics)

    def on_train_epoch_end(self) -> None:
        """Publish the mean training loss of the epoch."""
        self.log_dict(self.losses)

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule of the recipe."""
        optimizer = self._recipe.optimizer(self.model, self._loss)
        scheduler = self._recipe.scheduler(optimizer, self._total_steps)
        if scheduler is None:
            return optimizer
        per_step = {"scheduler": scheduler, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": per_step}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the running loss of the epoch."""
        checkpoint["loss"] = [float(self.loss_sum), self.loss_steps]
        if self.part_sums:
            checkpoint["loss_parts"] = {name: float(v) for name, v in self.part_sums.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The reverse of `on_save_checkpoint`."""
        self.loss_sum, self.loss_steps = checkpoint["loss"]
        self.part_sums = dict(checkpoint.get("loss_parts", {}))  # older ones have none


def _kind(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
