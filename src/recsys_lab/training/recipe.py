"""The training recipe: optimizer, schedule, batch size, epochs, precision."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from recsys_lab.config import Chosen, UserError, build_chosen
from recsys_lab.config.relations import MetricOf, NotWith, OfTrainedModels
from recsys_lab.data.crops import Crop
from recsys_lab.training.optimizers import OPTIMIZERS, decay_matrices_alone
from recsys_lab.training.schedules import SCHEDULES, Constant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from recsys_lab.contracts import DenseModel, Loss
    from recsys_lab.training.optimizers import OptimizerFactory
    from recsys_lab.training.schedules import Schedule


class Recipe:
    """Training settings, independent of the model, the loss and the data.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Recipe`.

        Attributes:
            max_epochs: largest number of passes over the training users.
            max_steps: largest number of optimizer steps, also within an epoch, which is then
                validated; the schedule ends there. null: as many as the epochs have.
            overfit_loss: train on one batch alone, of histories that begin with different events,
                with the same masks, negatives and dropout in each step, until its loss is below
                this value; if it never is, the command ends with exit status 3. An epoch has
                ``max_steps`` steps, if given. For ``debug=overfit``; null: off.
            batch_size: histories per batch.
            crop: window of a history that is longer than the model reads: "last", as SASRec's
                authors, so that older events are never targets; "random", a new random window in
                each epoch; "sliding", all windows, so that each event but the first is a target
                once per epoch, which makes epochs longer.
            refit: after the best epoch is known, train again from scratch (or from the weights of
                ``init_from``), with the same seed and number of epochs, on training and validation
                events, and test that model. A fitted model is fitted to both.
            supervise: events of a window that are targets of the loss: "all", or "target_events",
                only the types in the split's ``target_events``. Histories always have all types.
            accumulate_grad_batches: batches per optimizer step; the gradient is that of the mean
                loss over all their supervised positions, as if they were one batch.
            optimizer: "adam", "adamw" (decoupled weight decay), or your own class: see
                `recsys_lab.training.optimizers`.
            learning_rate: peak learning rate.
            beta1: decay of the first moment.
            beta2: decay of the second moment.
            weight_decay: weight decay of the optimizer.
            weight_decay_on: the weights that decay: "all", or "matrices": not norms, biases, other
                vectors and embeddings.
            ema_decay: validate, keep and test an exponential moving average of the weights: after
                each step it is this share of itself plus the rest of the new weights; e.g. 0.999.
                It starts as the initial weights. null: the weights themselves.
            sparse_embeddings: update only the item vectors looked up in a step (lazy Adam), for
                catalogues of millions of items; needs a loss with sampled negatives.
            schedule: learning rate after the warm-up: "constant"; "linear" or "cosine", decay to 0
                at the end; or your own class: see `recsys_lab.training.schedules`.
            warmup_steps: steps of linear increase from 0.
            gradient_clip: largest gradient norm; null for no clipping.
            precision: "auto" is bf16-mixed on a GPU that supports it, else 32 (the run's record
                has the choice); "16-mixed" needs a GPU.
            matmul_precision: of products of float32 matrices on a GPU: "highest"; "high", TF32,
                which has 11 of their 24 bits and is faster; "medium" is "high" where torch has
                nothing faster. A CPU and ranking always compute in "highest"; the record has what
                is in effect.
            deterministic: only kernels that give the same numbers each time on the same kind of
                GPU and versions; an operation without one is an error. Slower on a GPU; a CPU
                repeats its numbers without it.
            compile: compile the model with torch.compile.
            accelerator: "auto", "cpu" or "gpu".
            data_on_device: keep the events on the device, so that a batch needs no copy: "auto", on
                a GPU if they take at most a quarter of its free memory; true, always; false, read
                them on the host, in a thread ahead of the training.
            devices: processes that train together, one on each GPU, or on the CPU; they share each
                batch, so that ``batch_size`` and the trained model do not depend on their number.
                "auto": all visible GPUs, or one process on the CPU.
            monitor: validation metric for the best epoch and early stopping.
            patience: epochs without improvement before stopping; null for no early stopping.
            validation_users: number of users that validation ranks, a fixed sample, the same in all
                runs on the data; null: all. The test always ranks all.
            validate_every_epochs: epochs between validations; the last epoch is always validated.
            checkpoint_every_steps: steps between checkpoints within an epoch; null for only
                at the end of each epoch.
            log_every: optimizer steps between values of loss, learning rate and gradient norm in
                the trackers (``step/...``); null: only values of epochs.
            profile: number of steps to profile: ``profile/`` in the run directory gets a trace and
                the ten operations that take most time; null: none.
        """

        max_epochs: Annotated[int, Ge(1)]
        max_steps: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)
        overfit_loss: Annotated[
            Annotated[float, Gt(0)] | None,
            OfTrainedModels("has no loss to bring down; use debug=fast"),
        ] = field(default=None, kw_only=True)
        batch_size: Annotated[int, Ge(1)]
        crop: Crop = field(default="last", kw_only=True)
        refit: bool = field(default=False, kw_only=True)
        supervise: Literal["all", "target_events"] = field(default="all", kw_only=True)
        accumulate_grad_batches: Annotated[int, Ge(1)]
        optimizer: Annotated[Chosen, OPTIMIZERS]
        learning_rate: Annotated[float, Gt(0)]
        beta1: Annotated[float, Ge(0), Lt(1)]
        beta2: Annotated[float, Ge(0), Lt(1)]
        weight_decay: Annotated[float, Ge(0)]
        weight_decay_on: Literal["all", "matrices"] = field(default="all", kw_only=True)
        ema_decay: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, kw_only=True)
        sparse_embeddings: bool
        schedule: Annotated[Chosen, SCHEDULES]
        warmup_steps: Annotated[int, Ge(0)]
        gradient_clip: Annotated[float, Gt(0)] | None
        precision: Annotated[
            Literal["auto", "32", "bf16-mixed", "16-mixed"],
            NotWith(
                "16-mixed",
                "recipe.accelerator",
                "cpu",
                "half precision needs a GPU: use bf16-mixed, 32 or auto",
            ),
        ]
        matmul_precision: Literal["highest", "high", "medium"] = field(
            default="highest", kw_only=True
        )
        deterministic: bool = field(default=False, kw_only=True)
        compile: bool
        accelerator: Literal["auto", "cpu", "gpu"]
        data_on_device: bool | Literal["auto"] = field(default="auto", kw_only=True)
        devices: Annotated[int, Ge(1)] | Literal["auto"] = field(default=1, kw_only=True)
        monitor: Annotated[str, MetricOf("val/", "evaluation.metrics", "evaluation.ks")]
        patience: Annotated[int, Ge(1)] | None
        validation_users: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)
        validate_every_epochs: Annotated[int, Ge(1)]
        checkpoint_every_steps: Annotated[int, Ge(1)] | None
        log_every: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)
        profile: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)

    def __init__(self, config: Config) -> None:
        for name, value, off in (
            ("weight_decay", config.weight_decay, "0"),
            ("gradient_clip", config.gradient_clip, "null"),
            ("ema_decay", config.ema_decay, "null"),
        ):
            if config.sparse_embeddings and value:
                raise UserError(
                    f"recipe.sparse_embeddings: got true with recipe.{name}={value}, which needs "
                    f"all item vectors in each step; set recipe.{name}={off}, or "
                    "recipe.sparse_embeddings=false"
                )
        self.config = config
        self.optimizer_factory: OptimizerFactory = build_chosen(OPTIMIZERS, config.optimizer)
        self.schedule: Schedule = build_chosen(SCHEDULES, config.schedule)

    def total_steps(self, steps_per_epoch: int, epochs: int | None = None) -> int:
        """Optimizer steps of the training, without early stopping.

        Args:
            steps_per_epoch: of a whole epoch.
            epochs: their number; None: ``max_epochs``.
        """
        steps = steps_per_epoch * (epochs or self.config.max_epochs)
        return min(steps, self.config.max_steps or steps)

    def validates(self, epoch: int, steps_per_epoch: int) -> bool:
        """Whether an epoch, counted from 0, is validated: every n-th, and the last one."""
        done = epoch + 1
        is_last = done * steps_per_epoch >= self.total_steps(steps_per_epoch)
        return done % self.config.validate_every_epochs == 0 or is_last

    def optimizer(self, model: DenseModel, loss: Loss | None) -> Optimizer:
        """The optimizer of a model's parameters.

        Raises:
            UserError: the model, loss or optimizer does not support ``sparse_embeddings``.
        """
        if not self.config.sparse_embeddings:
            made = self.make_optimizer(model.parameters())
            if self.config.weight_decay_on == "matrices":
                decay_matrices_alone(made, model)
            return made
        from recsys_lab.training.dense_sparse import DenseSparseOptimizer, sparse_tables

        tables = sparse_tables(model, loss)
        known = {id(table) for table in tables}
        others = [weight for weight in model.parameters() if id(weight) not in known]
        sparse = self.optimizer_factory.make_sparse(tables, self)
        return DenseSparseOptimizer(self.make_optimizer(others), sparse)

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """The optimizer of some parameters.

        Raises:
            UserError: the user's own class makes something else.
        """
        from torch.optim import Optimizer

        made: Any = self.optimizer_factory.make(list(parameters), self)
        if not isinstance(made, Optimizer):
            name = type(self.optimizer_factory).__name__
            raise UserError(
                f"recipe.optimizer: {name}.make returned a {type(made).__name__}, expected a "
                "torch.optim.Optimizer"
            )
        return made

    @property
    def allows_fused(self) -> bool:
        """Whether an optimizer may be fused: Lightning cannot clip it under mixed precision."""
        return self.config.gradient_clip is None or self.trainer_precision() == "32"

    def scheduler(self, optimizer: Optimizer, total_steps: int) -> LRScheduler | None:
        """The per-step schedule, or None for a constant rate without warm-up."""
        from torch.optim.lr_scheduler import LambdaLR

        if isinstance(self.schedule, Constant) and not self.config.warmup_steps:
            return None
        return LambdaLR(optimizer, lambda step: self.rate(step, total_steps))

    def rate(self, step: int, total_steps: int) -> float:
        """Factor of the peak learning rate at a step.

        Raises:
            UserError: the factor of the schedule is negative or not finite.
        """
        warmup = self.config.warmup_steps
        if step < warmup:
            return (step + 1) / warmup
        total = max(1, total_steps - warmup)
        factor = self.schedule.factor(min(step - warmup, total), total)
        if not isinstance(factor, int | float) or not 0 <= factor < math.inf:
            raise UserError(
                f"recipe.schedule: {type(self.schedule).__name__}: got factor {factor!r} at step "
                f"{step - warmup} of {total}, expected a finite number of at least 0"
            )
        return factor

    def trainer_precision(self) -> Any:
        """Lightning's name of the precision.

        Raises:
            UserError: half precision on a CPU, which Lightning would replace by bfloat16.
        """
        import torch

        if self.config.precision == "16-mixed" and self.device() == "cpu":
            raise UserError(
                "recipe.precision=16-mixed: half precision needs a GPU, and training runs on the "
                "CPU; use bf16-mixed, 32 or auto"
            )
        if self.config.precision != "auto":
            return self.config.precision
        bf16 = self.device() == "cuda" and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32"

    def device(self) -> str:
        """The device of training and ranking, ``"cuda"`` or ``"cpu"``.

        Raises:
            UserError: ``accelerator`` is "gpu", and there is none.
        """
        import torch

        if self.config.accelerator == "gpu" and not torch.cuda.is_available():
            raise UserError(
                "recipe.accelerator=gpu: torch finds no CUDA device; use auto or cpu, or install "
                "torch's CUDA build"
            )
        on_gpu = self.config.accelerator != "cpu" and torch.cuda.is_available()
        return "cuda" if on_gpu else "cpu"
