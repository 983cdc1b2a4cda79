"""Best weights, early stopping, history and the checkpoint of a run.

They are in one callback because they must be stored at the same time: a checkpoint older than the
state of early stopping would resume into a different run.

The best weights are a separate file, and the checkpoint has their digest. New best weights are
first written to `NEXT`, then the checkpoint with their digest, then `NEXT` replaces `BEST`. At any
time one of the two files matches the digest in the checkpoint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from recsys_lab.config import Interrupted, UserError
from recsys_lab.contracts.processes import any_of, from_first, is_first, shard
from recsys_lab.contracts.read_ahead import Resumable
from recsys_lab.files.atomic import replace_atomically, sync
from recsys_lab.files.digests import Digest, damage, digest
from recsys_lab.training.checkpoint_names import BEST, LAST, NEXT
from recsys_lab.training.memory import return_freed_memory
from recsys_lab.training.module import SequentialModule
from recsys_lab.training.recipe import Recipe


class CheckpointCallback(pl.Callback):
    """Best weights, early stopping, history and exact resume.

    Args:
        folder: folder of `LAST` and `BEST`.
        recipe: monitor, patience and the checkpoint interval.
        batches: the training batches; their position is stored here, because Lightning stores it
            only within an epoch.
        on_epoch: called with the history after each epoch, before the checkpoint.
        stop_asked: returns true after the user asked to stop (Ctrl-C).
        steps_per_epoch: optimizer steps of a whole epoch.
        epochs: train exactly this many epochs without validation, and store the weights of the
            last one; None: as in the recipe.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        batches: Resumable,
        on_epoch: Callable[[list[dict[str, float]]], None],
        stop_asked: Callable[[], bool],
        steps_per_epoch: int,
        epochs: int | None = None,
    ) -> None:
        self.folder = folder
        self._recipe = recipe
        self._config = recipe.config
        self._batches = batches
        self._on_epoch = on_epoch
        self._stop_asked = stop_asked
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = recipe.total_steps(steps_per_epoch, epochs)
        self._epochs = epochs
        self._random: dict[str, Any] | None = None
        self.history: list[dict[str, float]] = []
        self.best_value = -math.inf
        self.best_epoch = -1
        self.best_digest: Digest | None = None
        self.epochs_without_improvement = 0

    @property
    def finished(self) -> bool:
        """Whether training is over: all epochs or steps are done, or early stopping."""
        patience = self._config.patience
        done = self.history[-1]["epoch"] + 1 if self.history else 0
        if self.history and self.history[-1]["step"] >= self._total_steps:
            return True  # within an epoch, by max_steps
        if self._epochs is not None:
            return done >= self._epochs
        return done >= self._config.max_epochs or (
            patience is not None and self.epochs_without_improvement >= patience
        )

    @property
    def still_improving(self) -> bool:
        """Whether the best of the validated epochs is the last one."""
        judged = [row["epoch"] for row in self.history if self._config.monitor in row]
        return bool(judged) and judged[-1] == self.best_epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore random states last, after everything that may draw from them."""
        self.on_train_epoch_start(trainer, pl_module)  # not called for a resumed epoch
        if self._random is not None:
            _set_random_states(self._random)
            self._random = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate every n-th and the last epoch; Lightning has only every n-th."""
        del pl_module
        judged = self._judges(trainer.current_epoch)
        trainer.check_val_every_n_epoch = 1 if judged else self._config.max_epochs + 1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Checkpoint within the epoch; after its last batch `on_train_epoch_end` does."""
        del pl_module, outputs, batch
        if self._config.max_steps is not None and trainer.global_step >= self._total_steps:
            trainer.should_stop = True  # Lightning then validates, also within an epoch
        step, within = divmod(batch_idx + 1, self._config.accumulate_grad_batches)
        if within or batch_idx + 1 >= int(trainer.num_training_batches):
            return  # accumulated gradients are not in checkpoints
        every = self._config.checkpoint_every_steps
        stop = any_of(self._stop_asked())
        if stop or (every is not None and step % every == 0):
            self._save(trainer)
        if stop:
            raise Interrupted("stopped before the end")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch to the history, store the best weights, check for early stopping, save."""
        assert isinstance(pl_module, SequentialModule)
        epoch = trainer.current_epoch
        row = {"epoch": epoch, "step": trainer.global_step, **pl_module.losses}
        if self._judges(epoch):
            row |= pl_module.validation | pl_module.diagnostics
            self._judge(row.get(self._config.monitor, math.nan), epoch, pl_module)
        self.history.append(row)
        if self._epochs is not None and self.finished:
            self._keep(epoch, pl_module)
        trainer.should_stop = trainer.should_stop or self.finished
        self._on_epoch(self.history)
        self._save(trainer)
        if self.best_epoch == epoch and is_first():
            self._place_best()
        return_freed_memory()
        if any_of(self._stop_asked()) and not self.finished:
            raise Interrupted("stopped before the end")

    def _judge(self, value: float, epoch: int, pl_module: SequentialModule) -> None:
        best, monitor = self.best_value, self._config.monitor
        first = self.best_epoch < 0 and not math.isnan(value)
        if first or pl_module.is_better(monitor, value, best):
            self.best_value, self.epochs_without_improvement = value, 0
            self._keep(epoch, pl_module)
        else:
            self.epochs_without_improvement = epoch - self.best_epoch

    def _judges(self, epoch: int) -> bool:
        return self._epochs is None and self._recipe.validates(epoch, self._steps_per_epoch)

    def _keep(self, epoch: int, pl_module: SequentialModule) -> None:
        self.best_epoch = epoch
        self.best_digest = from_first(lambda: self._write(pl_module))

    def _write(self, pl_module: SequentialModule) -> Digest:
        state = pl_module.judged.state_dict()
        weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
        replace_atomically(self.folder / NEXT, lambda path: save_file(weights, path))
        return digest(self.folder / NEXT)

    def settle(self) -> None:
        """Move the best weights named by the checkpoint to `BEST`, after a run was killed.

        Raises:
            UserError: they are missing or damaged.
        """
        from_first(self._settle_files)
        if self.best_epoch >= 0:
            self.best_weights()

    def _settle_files(self) -> None:
        if self.best_digest is not None and not damage(self.folder, {NEXT: self.best_digest}):
            self._place_best()
        (self.folder / NEXT).unlink(missing_ok=True)  # from an epoch that is trained again

    def _place_best(self) -> None:
        (self.folder / NEXT).replace(self.folder / BEST)
        sync(self.folder)

    def best_weights(self) -> Path:
        """The file with the weights of the best epoch, verified.

        Raises:
            UserError: it is missing or damaged.
        """
        path = self.folder / BEST
        noted = self.best_digest or digest(path)  # older versions noted none
        problem = damage(self.folder, {BEST: noted})
        if problem:
            raise UserError(
                f"{problem}; {LAST} has another digest of the best weights. Restore the file from "
                f"a copy, or remove {self.folder} and give the same command again: the run then "
                "restarts"
            )
        self.best_digest = noted
        return path

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.folder / LAST)

    @property
    def state_key(self) -> str:
        """Its name in checkpoint files, which does not change with the name of the class."""
        return "Keeper"

    def state_dict(self) -> dict[str, Any]:
        """The state, as plain containers and tensors."""
        return {
            "history": self.history,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "best_digest": self.best_digest,
            "waited": self.epochs_without_improvement,
            "place": self._batches.state_dict(),
            "random": _random_states(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of `state_dict`; random states are restored in `on_train_start`."""
        self.history = state_dict["history"]
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]
        self.epochs_without_improvement = state_dict["waited"]
        self.best_digest = state_dict.get("best_digest")  # older versions had none
        self._batches.load_state_dict(state_dict["place"])
        self._random = state_dict["random"]


def _random_states() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys)).long(), position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
    }


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] and shard()[1] > 1:  # of the first process's GPU
        torch.cuda.set_rng_state(states["cuda"][0])
    elif states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
