"""``recsys-lab promote CANDIDATE``: the promotion gate; ``--rollback``; ``mirror``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.config.verbs import VERBS
from recsys_lab.deploy.mirrors.base import Mirror, NotCopied, copy_champion, mirror_of
from recsys_lab.deploy.promote.decision import Settings
from recsys_lab.deploy.promote.promote import promote, roll_back
from recsys_lab.deploy.promote.table import checks_table
from recsys_lab.deploy.promote.verdict import Rules
from recsys_lab.deploy.registry import Registry
from recsys_lab.pages.terminal import Terminal, tell

if TYPE_CHECKING:
    from omegaconf import DictConfig

REFUSED, NOT_COPIED = 3, 4
"""The exit codes of a refused candidate, and of a champion that is not in the mirror."""


def run(cfg: DictConfig, output_dir: Path) -> int:
    """Print the decision.

    Returns:
        The exit code: 3 if the candidate is refused, 4 if it is champion but was not copied to
        the mirror, else 0.

    Raises:
        UserError: see `promote`, `roll_back` and `Mirror.connect`; nothing was written.
    """
    del output_dir
    _check(cfg)
    mirror = None if cfg.mirror is None else mirror_of(cfg.mirror, _model(cfg))
    if mirror is not None:
        mirror.connect()
    if cfg.candidate is None and not cfg.rollback:
        assert mirror is not None, "checked"
        return _copy(cfg, mirror)
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
    if not decision.promoted:
        return REFUSED
    return _copy(cfg, mirror) if mirror is not None else 0


def _model(cfg: DictConfig) -> Path:
    """The run directory of the model that would be copied.

    Raises:
        UserError: there is no champion to copy.
    """
    if cfg.candidate is not None:
        return Path(cfg.candidate)
    registry = Registry(cfg.registry)
    if cfg.rollback:
        return registry.step_back()[1].run
    champion = registry.champion()
    if champion is None:
        raise UserError(
            f"registry={cfg.registry}: no champion yet, so there is nothing to copy; give a "
            f"candidate: {VERBS['promote'].example}"
        )
    return champion.run


def _copy(cfg: DictConfig, mirror: Mirror) -> int:
    """Copy the champion to the mirror, unless nothing is to be written."""
    if cfg.dry_run:
        return 0
    try:
        text = copy_champion(Path(cfg.registry), mirror, cfg.mirror)
    except NotCopied as error:
        tell(str(error))
        return NOT_COPIED
    Terminal().print(f"copied: {text}", soft_wrap=True, highlight=False)
    return 0


def _check(cfg: DictConfig) -> None:
    if cfg.rollback and cfg.candidate is not None:
        raise UserError(
            f"candidate={cfg.candidate}: not allowed with rollback, which takes the champion before"
        )
    if not cfg.rollback and cfg.candidate is None and cfg.mirror is None:
        raise UserError(f"give a candidate: {VERBS['promote'].example}")
    if cfg.registry.startswith(("mlflow:", "wandb:")):
        raise UserError(
            f"registry={cfg.registry}: the champion is named in a folder; give a path, e.g. "
            f"registry=registry, and copy it to the tracker: mirror={cfg.registry}"
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
