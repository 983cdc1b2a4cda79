"""``resume=RUN_DIR``: resume a run from the config stored in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from recsys_lab.config import UserError, command_line
from recsys_lab.config.compose import Request
from recsys_lab.runs.find import run_folders
from recsys_lab.runs.record import CONFIG, RECORD, RunRecord

LONGER = ("recipe.max_epochs", "recipe.patience")
"""Keys allowed together with ``resume``: they train the run longer."""

DEVICES = "recipe.devices"
"""Also allowed: a run may go on with another number of processes."""

_TAKES = {"resume": "auto or a run directory", "retrain": "the directory of a finished run",
          "from": "a run directory"}  # fmt: skip
_HEADER = re.compile(r"^\s*#\s*@package", re.MULTILINE)


def resumed(request: Request) -> Request:
    """Rewrite a request with ``resume=RUN_DIR`` to compose the run's own stored config.

    Args:
        request: a request of a verb with a run directory.

    Returns:
        The same request if it resumes nothing or ``auto``; else one whose primary config is
        ``RUN_DIR/config.yaml``, with ``run_dir`` and ``resume`` set to RUN_DIR and Hydra's own
        settings as in the lab's config.

    Raises:
        UserError: RUN_DIR has no run, its config was changed, or other overrides are given
            together with ``resume``.
    """
    overrides = [parsed(text) for text in request.overrides]
    wanted = [o for o in overrides if o is not None and o.key_or_group == "resume"]
    value = wanted[-1].value() if wanted else None
    if value is None or value == "auto" or wanted[-1].is_sweep_override():
        return request
    run_dir = Path(str(value)).absolute()
    require_run(run_dir, "resume")
    _refuse_overfit(run_dir, stored_config(run_dir))
    hydra = [
        text
        for text, o in zip(request.overrides, overrides, strict=True)
        if o is not None and o.is_hydra_override()
    ]
    others = [
        t for t in request.overrides if t not in hydra and not t.lstrip("+").startswith("resume=")
    ]
    allowed = [text for text in others if text.partition("=")[0] in (*LONGER, DEVICES)]
    others = [text for text in others if text not in allowed]
    others += ["--multirun"] if request.multirun else []
    if others:
        raise UserError(
            f"resume: got {', '.join(others)}, but a run resumes with its stored config; only "
            f"{' and '.join(LONGER)} may be given with resume, to train it longer, and {DEVICES}. "
            "Drop the others, or start a new run without resume."
        )
    folder = QuotedString(str(run_dir), Quote.single).with_quotes()
    own = [f"++run_dir={folder}", f"++resume={folder}", f"hydra.run.dir={folder}"]
    # Configs of older versions have no number of processes.
    allowed = [f"++{text}" if text.startswith(f"{DEVICES}=") else text for text in allowed]
    return of_stored(request, run_dir, own, [*hydra, *allowed])


def _refuse_overfit(run_dir: Path, stored: DictConfig) -> None:
    """Refuse to go on with a check whose verdict is that of all its steps together."""
    if OmegaConf.select(stored, "recipe.overfit_loss") is not None:
        again = command_line("train", f"from={run_dir}")
        raise UserError(
            f"resume: {run_dir} learns one batch by heart (recipe.overfit_loss), which takes "
            f"seconds and cannot be resumed; begin again: {again}"
        )


def stored_config(run_dir: Path) -> DictConfig:
    """The config that a run stored.

    Raises:
        UserError: it cannot be read, or was changed.
    """
    path = run_dir / CONFIG
    try:
        stored = OmegaConf.load(path)
        refuse_changed(path, stored)
    except (OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    assert isinstance(stored, DictConfig)
    return stored


def of_stored(
    request: Request, run_dir: Path, own: Sequence[str], overrides: Sequence[str]
) -> Request:
    """A request that composes the config that a run stored.

    Args:
        request: the request as typed.
        run_dir: folder of the run.
        own: overrides of the verb; those of ``overrides`` come later and count.
        overrides: overrides as typed.
    """
    settings = [
        *own,
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
    ]
    given = {text.partition("=")[0] for text in overrides}
    settings = [s for s in settings if s.partition("=")[0] not in given]
    return replace(
        request,
        config_path=run_dir,
        config_name=CONFIG.removesuffix(".yaml"),
        config_dir=None,
        overrides=[*settings, *overrides],
    )


def refuse_changed(path: Path, stored: Any) -> None:
    """Refuse a stored config with anything but plain values.

    A run stores no interpolations (``${oc.env:HOME}``), includes or settings of Hydra. They are
    refused, so that a run from an untrusted source cannot use them.

    Args:
        path: the file.
        stored: its content.

    Raises:
        UserError: the config has such entries; the message lists them.
    """
    if not isinstance(stored, DictConfig):
        raise UserError(f"{path}: got a list, expected a mapping of keys to values.")
    problems = [
        f"{key}: a run does not store this key" for key in ("hydra", "defaults") if key in stored
    ]
    if _HEADER.search(path.read_text(encoding="utf-8")):
        problems.append("'# @package': a run does not store this line")
    plain = OmegaConf.to_container(stored, resolve=False)
    problems += [
        f"{key}: got {value!r}, expected a plain value" for key, value in _interpolations(plain)
    ]
    if problems:
        raise UserError(
            f"{path} was changed after the run stored it. {'; '.join(problems)}. Remove that, or "
            "restore the original file."
        )


def _interpolations(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Strings, including keys, that OmegaConf would interpolate."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _interpolations(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _interpolations(value, f"{path}.{index}")
    elif isinstance(node, str) and "${" in node:
        yield path, node


def refuse_occupied(cfg: DictConfig, *, multirun: bool = False) -> None:
    """Refuse to start a new run in the folder of another one.

    Args:
        cfg: a config with ``run_dir`` and ``resume``.
        multirun: whether ``run_dir`` is the folder of several runs, not a run.

    Raises:
        UserError: ``run_dir`` has a run and ``resume`` is null, or the run cannot be resumed, or it
            is within another run, or others are within it.
    """
    run_dir = Path(str(cfg.run_dir))
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"run_dir: {run_dir} is a file; choose another run_dir.")
    if not _holds_run(run_dir):
        _refuse_nested(run_dir, multirun=multirun)
        return
    is_check = OmegaConf.select(cfg, "recipe.overfit_loss") is not None
    if cfg.resume is None:
        can_resume = not is_check and _is_readable(run_dir)
        cure = "Add resume=auto to resume it, or choose" if can_resume else "Choose"
        raise UserError(f"run_dir: {run_dir} already has a run. {cure} another run_dir.")
    if cfg.resume == "auto" and is_check and not RunRecord.load(run_dir).done:
        _refuse_overfit(run_dir, cfg)


def _is_readable(run_dir: Path) -> bool:
    with suppress(UserError):
        RunRecord.load(run_dir)
        return True
    return False


def _refuse_nested(run_dir: Path, *, multirun: bool) -> None:
    """Refuse a run inside a run: searches for runs end at the outer one, and lose the inner."""
    folders = run_folders(run_dir) if run_dir.exists() and not multirun else ()
    inner = next((folder for folder in folders if folder != run_dir), None)
    if inner is not None:
        raise UserError(
            f"run_dir: {run_dir} has runs in it, such as {inner}, which a run of this folder would "
            f"hide from compare and all lists. Choose another run_dir, e.g. {run_dir / 'new'}."
        )
    outer = next((folder for folder in run_dir.absolute().parents if _holds_run(folder)), None)
    if outer is not None:
        raise UserError(
            f"run_dir: {run_dir} is in the run {outer}, which would hide it from compare and all "
            "lists. Choose a run_dir beside it."
        )


def _holds_run(run_dir: Path) -> bool:
    """Whether there is a run that did not fail before training."""
    if not (run_dir / RECORD).exists():
        return False
    try:
        return not RunRecord.load(run_dir).failed_before_training
    except UserError:  # a damaged record is still a run
        return True


def require_run(run_dir: Path, option: str) -> None:
    """Check that a folder has a run with an undamaged config.

    Args:
        run_dir: the folder.
        option: the option that names it, for messages.

    Raises:
        UserError: it has none.
    """
    if not run_dir.is_dir():
        raise UserError(f"{option}: there is no folder {run_dir}{_runs_near(run_dir, option)}")
    for name in (RECORD, CONFIG):
        if not (run_dir / name).is_file():
            raise UserError(
                f"{option}: {run_dir} is not a run directory: it has no {name}"
                f"{_runs_near(run_dir, option)}"
            )
    RunRecord.load(run_dir).check(CONFIG)  # Hydra reads it


def _runs_near(run_dir: Path, option: str) -> str:
    """The newest runs near a directory that is not a run, for a message."""
    base = run_dir if run_dir.is_dir() else run_dir.parent
    runs = [
        p.parent for pattern in (RECORD, f"*/{RECORD}", f"*/*/{RECORD}") for p in base.glob(pattern)
    ]
    newest = sorted(runs, key=lambda folder: folder.stat().st_mtime)[-3:]
    shown = ", ".join(os.path.relpath(folder) for folder in reversed(newest))
    return f". Runs there: {shown}." if shown else f". {option} takes {_TAKES[option]}."


def parsed(text: str) -> Override | None:
    """An override, or None if Hydra's grammar cannot parse it: the config check reports it."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None
