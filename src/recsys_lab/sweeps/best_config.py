"""Writes the best config of a sweep as an ``experiment``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from recsys_lab.config.compose import make_loader
from recsys_lab.config.secrets import scrubbed
from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.space import as_override
from recsys_lab.sweeps.storage.attributes import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optuna.trial import FrozenTrial

    from recsys_lab.sweeps.plan import Plan

BEST = "best"


def best_command(plan: Plan) -> str:
    """The shell command that trains the best config."""
    folder = shlex.quote(str(plan.path / "configs"))
    return f"recsys-lab train --config-dir {folder} experiment={BEST}"


def write_best(plan: Plan, trial: FrozenTrial) -> None:
    """Write the config of a trial, and copies of the user's own config files that it uses."""
    folder = plan.path / "configs"
    overrides = plan.point_overrides(_point(trial))
    texts = {folder / path: file.read_text() for path, file in _user_files(plan, overrides)}
    texts[folder / "experiment" / f"{BEST}.yaml"] = experiment(plan, trial)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def experiment(plan: Plan, trial: FrozenTrial) -> str:
    """The config of a trial as the text of an ``experiment``.

    It has the choice of every group, and every value that differs from these choices, including
    values of an experiment of the sweep, as only one experiment can be chosen.
    """
    bare = replace(plan, base=[])
    known = _composed(bare, [])[1]
    cfg, choices = _composed(plan, plan.point_overrides(_point(trial)))
    if cfg.init_from is not None:  # the experiment may be run from another folder
        cfg.init_from = str(Path(cfg.init_from).absolute())
    # A group without a choice is one that the chosen model does not have.
    groups = {key: choice for key, choice in choices.items() if key in known and choice}
    chosen = _composed(bare, [as_override(*pair) for pair in groups.items()])[0]
    defaults_of = dict(_leaves(chosen))
    values: dict[str, Any] = {}
    for path, value in _leaves(cfg):
        if path not in defaults_of or defaults_of[path] != value:
            _set(values, path, value)
    defaults = [{f"override /{key}": choice} for key, choice in groups.items()]
    lines = [
        "# @package _global_",
        f"# Trial {trial.number} of the sweep {plan.options['name']}: {trial.values}",
    ]
    # OmegaConf's writer quotes strings such as 1e-3, which YAML's would not.
    body = OmegaConf.to_yaml(OmegaConf.create({"defaults": defaults, **scrubbed(values)}))
    return "\n".join([*lines, body])


def _point(trial: FrozenTrial) -> dict[str, Any]:
    return {**trial.params, **trial.user_attrs.get(CHANGES, {})}


def _composed(plan: Plan, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str | None]]:
    """The config, and the choice of each group except ``experiment``."""
    cfg = plan.composed(overrides)
    choices = {str(key): choice for key, choice in HydraConfig.get().runtime.choices.items()}
    return cfg, {
        key: choice
        for key, choice in choices.items()
        if key != "experiment" and not key.startswith("hydra/")
    }


def _leaves(cfg: DictConfig) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its path; interpolations are not resolved."""
    yield from _below(OmegaConf.to_container(cfg, resolve=False), ())


def _below(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(node, dict) or not node:
        yield path, node
        return
    for key, value in node.items():
        yield from _below(value, (*path, key))


def _set(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *above, last = path
    for part in above:
        values = values.setdefault(part, {})
    values[last] = value


def _user_files(plan: Plan, overrides: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Name and file of each of the user's own configs in the composed config."""
    request = plan.request(overrides)
    loader = make_loader(request)
    composed = loader.compute_defaults_list("train", request.overrides, RunMode.RUN)
    for default in composed.defaults:
        path = default.config_path
        if path is None or path.startswith("experiment/"):
            continue
        source = loader.repository.load_config(path)
        if source is not None and source.provider == "command-line":
            name = f"{path.removesuffix('.yaml')}.yaml"
            yield name, Path(source.path.removeprefix("file://")) / name
