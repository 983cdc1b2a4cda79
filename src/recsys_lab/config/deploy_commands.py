"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_lab.config.commands import TrainConfig


@dataclass(frozen=True, kw_only=True)
class RetrainConfig(TrainConfig):
    """Top-level keys of ``retrain``: those of the run's stored config, and how it is retrained."""

    run: str
    warm: bool
    window: str | None
    force: bool
