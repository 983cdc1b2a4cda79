"""Lightning's MLflow logger, with names that MLflow takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytorch_lightning.loggers import MLFlowLogger

from recsys_lab.tracking.base import without_at

if TYPE_CHECKING:
    from collections.abc import Mapping


class NamedMlflowLogger(MLFlowLogger):
    """Logs ``val/ndcg@10`` as ``val/ndcg_at_10``; else Lightning drops the sign, with a warning."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """See `MLFlowLogger`."""
        super().log_metrics({without_at(name): value for name, value in metrics.items()}, step)
