"""The training recipe: optimizer, schedule, batch size, epochs, precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from recsys_lab.contracts import DenseModel, Loss


class Recipe:
    """How a model is trained, apart from the model, the loss and the data.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Recipe`.

        Attributes:
            max_epochs: passes over the training users.
            batch_size: histories a batch.
            crop: which window of a history is trained on that is longer than the model reads: the
                last one (last), as SASRec's authors do, so that older events are never targets;
                one at random, another each epoch (random); or all of them, so that each event but
                the first is a target once an epoch (sliding), which takes longer epochs.
            refit: after the best epoch is known, train once more from scratch (or from what
                ``init_from`` gave), with the same seed and for as many epochs, on the events of
                training and validation; the test is of that model. A model that is
                fitted in one pass is fitted to both.
            supervise: which events of a window the loss asks for: all of them, or those alone whose
                types are the split's ``target_events``; histories are of all types in any case.
            accumulate_grad_batches: batches a step; its gradient is that of the mean loss over
                all their supervised positions, as if they were one batch.
            optimizer: "adam" or "adamw" (decoupled weight decay).
            learning_rate: peak learning rate.
            beta1: decay of the first moment.
            beta2: decay of the second moment.
            weight_decay: of the optimizer, on every parameter.
            sparse_embeddings: a step moves only the item vectors that it looked up (lazy Adam), for
                catalogues of millions; needs a loss that samples.
            schedule: learning rate after the warm-up: constant, or falling to 0 at the end
                along a line or a half cosine.
            warmup_steps: steps of linear rise from 0.
            gradient_clip: largest gradient norm; null for none.
            precision: "auto" is bf16-mixed on a GPU that has it, else 32 (the run's record says
                which); "16-mixed" is for GPUs.
            compile: run the model through torch.compile.
            accelerator: "auto", "cpu" or "gpu".
            monitor: validation metric that picks the best epoch and stops early.
            patience: epochs without a better one before stopping; null for never.
            validate_every_epochs: epochs between validations; the last epoch is always validated.
            checkpoint_every_steps: steps between checkpoints within an epoch; null for only
                at the end of each epoch.
        """

        max_epochs: Annotated[int, Ge(1)]
        batch_size: Annotated[int, Ge(1)]
        crop: Literal["last", "random", "sliding"] = field(default="last", kw_only=True)
        refit: bool = field(default=False, kw_only=True)
        supervise: Literal["all", "target_events"] = field(default="all", kw_only=True)
        accumulate_grad_batches: Annotated[int, Ge(1)]
        optimizer: Literal["adam", "adamw"]
        learning_rate: Annotated[float, Gt(0)]
        beta1: Annotated[float, Ge(0), Lt(1)]
        beta2: Annotated[float, Ge(0), Lt(1)]
        weight_decay: Annotated[float, Ge(0)]
        sparse_embeddings: bool
        schedule: Literal["constant", "linear", "cosine"]
        warmup_steps: Annotated[int, Ge(0)]
        gradient_clip: Annotated[float, Gt(0)] | None
        precision: Literal["auto", "32", "bf16-mixed", "16-mixed"]
        compile: bool
        accelerator: Literal["auto", "cpu", "gpu"]
        monitor: str
        patience: Annotated[int, Ge(1)] | None
        validate_every_epochs: Annotated[int, Ge(1)]
        checkpoint_every_steps: Annotated[int, Ge(1)] | None

    def __init__(self, config: Config) -> None:
        for name in ("weight_decay", "gradient_clip"):
            if config.sparse_embeddings and getattr(config, name):
                raise UserError(
                    f"recipe.sparse_embeddings: got true with recipe.{name}="
                    f"{getattr(config, name)}, which reads every item's vector; set recipe.{name}="
                    f"{'0' if name == 'weight_decay' else 'null'}, or "
                    "recipe.sparse_embeddings=false"
                )
        self.config = config

    def validates(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is validated."""
        done = epoch + 1
        return done % self.config.validate_every_epochs == 0 or done == self.config.max_epochs

    def optimizer(self, model: DenseModel, loss: Loss) -> Optimizer:
        """The optimizer of a model's parameters.

        Raises:
            UserError: ``sparse_embeddings`` with a model or a loss that it is not for.
        """
        if not self.config.sparse_embeddings:
            return self._dense(model.parameters())
        from recsys_lab.training.optimizers import dense_sparse_optimizer, make_sparse

        return dense_sparse_optimizer(
            self._dense, model, make_sparse(model, loss),
            learning_rate=self.config.learning_rate, betas=(self.config.beta1, self.config.beta2),
        )  # fmt: skip

    def _dense(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Fused where that is allowed (one pass over memory, not several)."""
        import torch

        kinds: dict[str, type[torch.optim.Adam]]
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        return kinds[self.config.optimizer](
            parameters,
            lr=self.config.learning_rate,
            betas=(self.config.beta1, self.config.beta2),
            weight_decay=self.config.weight_decay,
            # Lightning refuses to clip under mixed precision when the optimizer unscales itself.
            fused=self.config.gradient_clip is None or self.trainer_precision() == "32",
        )

    def scheduler(self, optimizer: Optimizer, total_steps: int) -> LRScheduler | None:
        """The per-step schedule, or None for a constant rate without warm-up."""
        from torch.optim.lr_scheduler import LambdaLR

        if self.config.schedule == "constant" and not self.config.warmup_steps:
            return None
        return LambdaLR(optimizer, lambda step: self.rate(step, total_steps))

    def rate(self, step: int, total_steps: int) -> float:
        """Multiplier of the peak learning rate at a step, in [0, 1]."""
        import math

        warmup = self.config.warmup_steps
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        if self.config.schedule == "linear":
            return 1 - done
        if self.config.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 1.0

    def trainer_precision(self) -> Any:
        """Lightning's name of the precision.

        Raises:
            UserError: half precision on a CPU, in whose place Lightning would take bfloat16.
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
        """Where training and ranking happen, ``"cuda"`` or ``"cpu"``.

        Raises:
            UserError: a GPU is asked for and there is none.
        """
        import torch

        if self.config.accelerator == "gpu" and not torch.cuda.is_available():
            raise UserError(
                "recipe.accelerator=gpu: torch finds no CUDA device here; use auto or cpu, or "
                "install torch's CUDA build"
            )
        on_gpu = self.config.accelerator != "cpu" and torch.cuda.is_available()
        return "cuda" if on_gpu else "cpu"
