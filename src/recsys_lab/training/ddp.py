"""Lightning's DDP for processes that were started together, joined by the lab."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from recsys_lab.contracts.processes import shard

if TYPE_CHECKING:
    import pytorch_lightning as pl
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


def keep_signals(trainer: pl.Trainer) -> None:
    """Leave the lab's answer to signals in place: a flag on which all processes agree after a step.

    Lightning would broadcast within the handler of SIGTERM, where only one process may be, and
    before every batch, which makes a GPU wait.
    """
    trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]


def _nothing() -> None:
    pass
