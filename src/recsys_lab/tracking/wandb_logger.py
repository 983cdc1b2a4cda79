"""Lightning's W&B logger, whose rows go on where an earlier process of the run stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wandb import Run

STEP = "trainer/global_step"


class SteppedWandbLogger(WandbLogger):
    """Numbers W&B's rows by the optimizer's steps.

    W&B counts the rows of each process from 0 when it is offline, so those of a resumed run would
    lie on the first ones. Lightning makes the step the x axis only of runs that it opens itself.

    Args:
        experiment: the open run.
    """

    def __init__(self, experiment: Run) -> None:
        super().__init__(experiment=experiment)
        experiment.define_metric(STEP)
        experiment.define_metric("epoch")
        experiment.define_metric("*", step_metric=STEP, step_sync=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """See `WandbLogger`."""
        if step is None:
            self.experiment.log(dict(metrics))
        else:
            self.experiment.log({**metrics, STEP: step}, step=step)
