"""Lightning's DDP for processes that were started together, joined by the lab."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from recsys_lab.contracts.processes import shard

if TYPE_CHECKING:
    from pytorch_lightning.plugins.io import CheckpointIO


def trainer_options(checkpoints: CheckpointIO) -> dict[str, Any]:
    """Options of Lightning's trainer for the processes of the group, which exists.

    Args:
        checkpoints: reads and writes checkpoints.
    """
    world = shard()[1]
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    return {
        "devices": local,
        "num_nodes": world // local,
        "use_distributed_sampler": False,  # the batches know their share
        "plugins": [checkpoints],
        "strategy": DDPStrategy(
            cluster_environment=TorchElasticEnvironment(),
            # A step may leave weights out: a table that no event reads, a batch without targets.
            find_unused_parameters=True,
            forward_sync_buffers=False,  # codes, which are equal everywhere
        ),
    }


class OwnSignals(pl.Callback):
    """Keeps the lab's answer to SIGTERM, a flag on which all processes agree after a step.

    Lightning would broadcast within the signal handler, where only one process may be, and before
    every batch, which makes a GPU wait.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note the handler, before Lightning replaces it."""
        del pl_module, stage
        self._handler = signal.getsignal(signal.SIGTERM)
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set it again."""
        del trainer, pl_module
        signal.signal(signal.SIGTERM, self._handler)


def _nothing() -> None:
    pass
