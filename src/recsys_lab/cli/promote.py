"""``recsys-lab promote CANDIDATE``: the promotion gate; ``--rollback``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.config.verbs import VERBS
from recsys_lab.deploy.promote.decision import Settings
from recsys_lab.deploy.promote.promote import promote, roll_back
from recsys_lab.deploy.promote.table import checks_table
from recsys_lab.deploy.promote.verdict import Rules
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig

REFUSED = 3
"""The exit code of a refused candidate."""


def run(cfg: DictConfig, output_dir: Path) -> int:
    """Print the decision.

    Returns:
        The exit code: 3 if the candidate is refused, else 0.

    Raises:
        UserError: see `promote` and `roll_back`.
    """
    del output_dir
    _check(cfg)
    if cfg.rollback:
        decision = roll_back(Path(cfg.registry), dry_run=cfg.dry_run)
    else:
        decision = promote(_settings(cfg))
    console = Terminal()
    if decision.checks:
        console.print(checks_table(decision))
    for note in decision.values.get("notes", ()):
        console.print(f"note: {note}", soft_wrap=True, highlight=False)
    for text in decision.values["reasons"]:
        console.print(text, soft_wrap=True, highlight=False)
    candidate = decision.values["candidate"]["run"]
    said = decision.values["outcome"]
    if cfg.dry_run:
        said = f"dry run, nothing was written: the outcome would be '{said}'"
    console.print(f"{said}: {candidate}", soft_wrap=True, highlight=False)
    if decision.file is not None:
        console.print(f"written: {decision.file}", soft_wrap=True, highlight=False)
    return 0 if decision.promoted else REFUSED


def _check(cfg: DictConfig) -> None:
    if cfg.rollback and cfg.candidate is not None:
        raise UserError(
            f"candidate={cfg.candidate}: not allowed with rollback, which takes the champion before"
        )
    if not cfg.rollback and cfg.candidate is None:
        raise UserError(f"give a candidate: {VERBS['promote'].example}")
    if cfg.registry.startswith(("mlflow:", "wandb:")):
        raise UserError(
            f"registry={cfg.registry}: the champion is named in a folder; give a path, e.g. "
            "registry=registry, and copy the decision to the tracker if it is needed there"
        )


def _settings(cfg: DictConfig) -> Settings:
    rules = Rules(
        margin=cfg.margin,
        level=cfg.level,
        min_users=cfg.min_users,
        when_unsure=cfg.when_unsure,
        coverage=cfg.coverage,
        latency=cfg.latency,
        latency_ms=cfg.latency_ms,
        resamples=cfg.resamples,
        seed=cfg.seed,
    )
    return Settings(
        candidate=Path(cfg.candidate),
        registry=Path(cfg.registry),
        rules=rules,
        metric=cfg.metric,
        guard=list(cfg.guard),
        force=cfg.force,
        export=None if cfg.export is None else Path(cfg.export),
        prepare=cfg.prepare,
        verify=cfg.verify,
        dry_run=cfg.dry_run,
    )
