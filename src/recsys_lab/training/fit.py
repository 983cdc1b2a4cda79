"""Train a model on a prepared dataset, or resume from a checkpoint."""

from __future__ import annotations

import logging
import signal
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from safetensors.torch import load_file

from recsys_lab.config import Interrupted, UserError
from recsys_lab.contracts.processes import after_first, shard
from recsys_lab.evaluation.metrics.names import ACCURACY
from recsys_lab.evaluation.metrics.registry import named
from recsys_lab.files.reading import reading
from recsys_lab.training.checkpoint import CheckpointCallback
from recsys_lab.training.checkpoint_file import SealedCheckpointIO, begin_anew, read_checkpoint
from recsys_lab.training.checkpoint_names import LAST
from recsys_lab.training.ddp import keep_signals, trainer_options
from recsys_lab.training.module import SequentialModule
from recsys_lab.training.progress import ProgressDisplay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pytorch_lightning.loggers import Logger
    from rich.console import Console

    from recsys_lab.contracts import DenseModel, EvaluationBatch, Loss
    from recsys_lab.contracts.read_ahead import Resumable
    from recsys_lab.evaluation.protocols.base import RankingProtocol
    from recsys_lab.training.recipe import Recipe


_START_AGAIN = "; restore the file, or start a new run in another run_dir"


def fit(
    model: DenseModel,
    loss: Loss,
    recipe: Recipe,
    protocol: RankingProtocol,
    training: Resumable,
    validation: Iterable[EvaluationBatch],
    folder: Path,
    *,
    loggers: Sequence[Logger],
    console: Console,
    on_epoch: Callable[[list[dict[str, float]]], None],
    callbacks: Sequence[pl.Callback] = (),
    epochs: int | None = None,
) -> CheckpointCallback:
    """Train as long as the recipe says, and load the best weights into ``model``.

    Args:
        model: a trained model.
        loss: the loss.
        recipe: optimizer, epochs, early stopping.
        protocol: ranking protocol of the validation.
        training: the training batches.
        validation: the users of the validation phase.
        folder: folder of checkpoints; a ``last.ckpt`` there is resumed.
        loggers: Lightning loggers.
        console: for the progress line.
        on_epoch: called with the history after each epoch.
        callbacks: additional Lightning callbacks.
        epochs: train exactly this many epochs (or ``max_steps``) without validation, and load the
            weights of the last one; the learning rate schedule is that of all the recipe's epochs.

    Returns:
        The checkpoint callback: history, best epoch and value.

    Raises:
        Interrupted: the user stopped the training, after a checkpoint.
        UserError: the checkpoint or the best weights are damaged; options of the recipe contradict
            each other; the monitored metric is NaN in every validation.
    """
    steps = -(-len(training) // recipe.config.accumulate_grad_batches)
    _check(recipe, steps)
    with _stop_signal() as stop_asked:
        keeper = CheckpointCallback(folder, recipe, training, on_epoch, stop_asked, steps, epochs)
        last = folder / LAST
        if last.exists():
            # Restored before the trainer is built: the run may be finished.
            states = read_checkpoint(last)["callbacks"]
            if keeper.state_key not in states:
                raise UserError(
                    f"{last}: has weights but no state of the run (its epochs, best epoch and "
                    "random numbers), so training cannot be resumed exactly; train again"
                )
            for callback in (keeper, *callbacks):
                if callback.state_key in states:
                    callback.load_state_dict(states[callback.state_key])
            keeper.settle()
        if not keeper.finished:
            model.train()
            module = SequentialModule(model, loss, recipe, protocol, steps)
            # The display first: it tells of an epoch also if another callback ends the training.
            display = ProgressDisplay(console, recipe.config, validates=epochs is None)
            trainer = _trainer(recipe, loggers, [display, keeper, *callbacks], epochs)
            resume_from = str(last) if last.exists() else None
            with _known_warnings():
                try:
                    trainer.fit(
                        module, training, validation, ckpt_path=resume_from, weights_only=True
                    )
                except SystemExit as stop:  # Lightning's answer to SIGTERM within validation
                    raise Interrupted("stopped before the end") from stop
    if keeper.best_epoch < 0:
        raise UserError(_without_best(recipe.config.monitor, protocol))
    best = after_first(keeper.best_weights)
    with reading(best, begin_anew(best)):
        model.load_state_dict(load_file(best))
    model.eval()
    return keeper


def _trainer(
    recipe: Recipe, loggers: Sequence[Logger], callbacks: list[pl.Callback], epochs: int | None
) -> pl.Trainer:
    config = recipe.config
    for noisy in ("pytorch_lightning", "lightning_fabric"):  # tips and product news
        logging.getLogger(noisy).setLevel(logging.WARNING)
    together: dict[str, Any]
    if shard()[1] > 1:
        together = trainer_options(SealedCheckpointIO())
    else:  # also in a SLURM job, whose environment Lightning would otherwise read
        together = {"devices": 1, "plugins": [SealedCheckpointIO(), LightningEnvironment()]}
    trainer = pl.Trainer(
        accelerator="gpu" if recipe.device() == "cuda" else "cpu",
        precision=recipe.trainer_precision(),
        max_epochs=epochs or config.max_epochs,
        max_steps=config.max_steps or -1,
        gradient_clip_val=config.gradient_clip,
        accumulate_grad_batches=config.accumulate_grad_batches,
        callbacks=callbacks,
        logger=list(loggers),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10**9,  # everything logged is an epoch's value
        **together,
    )
    if shard()[1] > 1:
        keep_signals(trainer)
    return trainer


def _check(recipe: Recipe, steps_per_epoch: int) -> None:
    total = recipe.total_steps(steps_per_epoch)
    if recipe.config.warmup_steps > total:
        raise UserError(
            f"recipe.warmup_steps: got {recipe.config.warmup_steps}, expected at most {total}, the "
            f"steps of the training ({recipe.config.max_epochs} epochs of {steps_per_epoch}"
            f"{_bounded(recipe)}); use fewer, or train longer"
        )


def _bounded(recipe: Recipe) -> str:
    steps = recipe.config.max_steps
    return "" if steps is None else f", recipe.max_steps={steps}"


def _without_best(monitor: str, protocol: RankingProtocol) -> str:
    """Why no epoch is the best one."""
    config = protocol.config
    chosen = {f"val/{m.name}": m.chosen for m in named(ACCURACY, config.metrics, config.ks)}
    of = chosen[monitor]
    whose = "" if isinstance(of, str) else f" ({of['_target_']})"
    return (
        f"recipe.monitor={monitor}{whose}: was NaN in every validation, as it is where it has a "
        "value for no user, so no epoch is the best one; monitor another metric"
        f"{', or fix the class' if whose else ''}"
    )


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Ctrl-C stops after the current step; a second one stops immediately."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        del frame
        if asked:
            raise Interrupted("stopped before the end")
        asked.append(number)

    try:
        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller owns the signals
        before = {}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_KNOWN_WARNINGS = (
    ".*smaller than the logging interval.*",  # everything logged is an epoch's value
    ".*GPU available but not used.*",  # the recipe says so
    ".*isinstance.treespec, LeafSpec.*",  # Lightning 2.6 with torch 2.13
    ".*sync_dist=True.*",  # what is logged is equal in all processes
    ".*`srun` command is available.*",  # one process, whatever is installed
)


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Silence warnings that do not concern the user."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield
