"""``retrain RUN key=value``: the command line becomes the stored config of RUN with overrides.

Nothing here imports torch, so that mistakes are reported at once.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from recsys_lab.config import UserError, command_line
from recsys_lab.config.help.value_habits import value_hint
from recsys_lab.config.locations import config_dir
from recsys_lab.config.quoting import quoted
from recsys_lab.data.preparation.durations import window_seconds
from recsys_lab.experiment.resume import of_stored, parsed, require_run, stored_config
from recsys_lab.runs.failure import refuse_trial, refuse_unfinished
from recsys_lab.runs.record import FITTED, RunRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

    from recsys_lab.config.compose import Request

OWN = ("run", "warm", "window", "force")
"""Keys of the verb that are not part of a run's config."""
GROUPS = ("experiment", "search", "launcher")
"""Config groups that are not keys of a run's config."""
FREE_GROUP = "tracking"
"""The group whose choice may be another one: it does not decide what is trained or measured."""
_SHAPES = ("model", "inputs")


def retrained(request: Request) -> Request:
    """Rewrite a request so that it composes the config that RUN stored.

    Args:
        request: of the verb, with ``run=RUN`` among the overrides.

    Raises:
        UserError: RUN cannot be retrained, or an override does not suit retraining.
    """
    overrides = [parsed(text) for text in request.overrides]
    known = [o for o in overrides if o is not None]
    runs = [o for o in known if o.key_or_group == "run"]
    if not runs:
        raise UserError("give a run: recsys-lab retrain RUN data.path=newer.csv")
    if request.multirun or any(o.is_sweep_override() for o in known):
        raise UserError("retrain trains one run: give one value per key, without --multirun")
    run_dir = Path(str(runs[-1].value())).absolute()
    record = require_retrainable(run_dir)
    stored = stored_config(run_dir)
    values = [o for o in known if not o.is_hydra_override() and o.key_or_group not in OWN]
    for override in known:
        if override.key_or_group == "window" and override.value() is not None:
            window_seconds("window", str(override.value()))
    chosen = [text for o in values if _is_choice(o) for text in _chosen(o, request)]
    for override in values:
        if _is_choice(override):
            continue
        _refuse_group(override, stored)
        _refuse_key(override, run_dir)
    if any(o.key_or_group == "warm" and o.value() is True for o in known):
        _refuse_warm(record, values, stored)
    now = datetime.now()  # local, as in the run directories of train
    name = re.sub(r"[^\w-]+", "_", str(record.values["name"]))[:60]
    folder = f"runs/{now:%Y-%m-%d}/{now:%H%M%S-%f}-retrain-{name}"
    own = [
        *(f"++run_dir={quoted(folder)}", "++resume=null", "++from=null", "++init_from=null"),
        *("++warm=false", "++window=null", "++force=false"),
        "++hydra.run.dir=${run_dir}",
    ]
    typed = [
        f"++{text}" if _is_own(o) else text
        for text, o in _pairs(request, overrides)
        if o is None or not _is_choice(o)
    ]
    return of_stored(request, run_dir, own, [*chosen, *typed])


def _pairs(
    request: Request, overrides: Sequence[Override | None]
) -> list[tuple[str, Override | None]]:
    return list(zip(request.overrides, overrides, strict=True))


def _is_own(override: Override | None) -> bool:
    """Whether the stored config lacks the key, and it was typed without a plus."""
    return override is not None and override.key_or_group in OWN and not override.is_add()


def require_retrainable(run_dir: Path) -> RunRecord:
    """The record of a run that can be retrained.

    Raises:
        UserError: it is no finished, tested run.
    """
    require_run(run_dir, "retrain")
    record = RunRecord.load(run_dir)
    if "windows" in record.values:
        raise UserError(
            f"{run_dir}: a back-test, whose windows are runs of their own; give one of them, e.g. "
            f"{run_dir / 'window_0'}"
        )
    if record.values["status"] == "pruned" or record.done:
        refuse_trial(record, "no test result")
    refuse_unfinished(record, "no result to compare with")
    return record


def _is_choice(override: Override) -> bool:
    """Whether it is another choice of the group that may be changed."""
    return override.key_or_group == FREE_GROUP and isinstance(override.value(), str)


def _chosen(override: Override, request: Request) -> list[str]:
    """The choice as single keys, since the stored config has values, not choices.

    Raises:
        UserError: there is no such choice.
    """
    name = str(override.value())
    own = [] if request.config_dir is None else [Path(request.config_dir)]
    folders = [folder / FREE_GROUP for folder in (*own, config_dir())]
    files = {file.stem: file for folder in reversed(folders) for file in folder.glob("*.yaml")}
    if name not in files:
        raise UserError(
            f"{override.input_line}: no such choice{value_hint(FREE_GROUP, name, [*files])} "
            f"Choices: {', '.join(sorted(files))}"
        )
    values: Any = OmegaConf.to_container(OmegaConf.load(files[name]))
    return [f"++{FREE_GROUP}.{key}={json.dumps(value)}" for key, value in values.items()]


def _refuse_group(override: Override, stored: DictConfig) -> None:
    """Refuse another choice of a config group: the stored config has values, not choices."""
    key = override.key_or_group
    is_group = key in GROUPS or key.startswith("hydra/") or OmegaConf.is_dict(stored.get(key))
    if not is_group and key not in ("loss", "semantic_ids", "decoding"):
        return
    keys = f"{key}.KEY=VALUE" if key not in GROUPS else "key=value"
    raise UserError(
        f"{override.input_line}: retrain keeps the choices of the run's config, which decide what "
        f"is trained and measured (only {FREE_GROUP} may be another one); change single keys "
        f"({keys}), or train a new run with recsys-lab train"
    )


def _refuse_key(override: Override, run_dir: Path) -> None:
    key, value = override.key_or_group, override.value()
    if key == "init_from":
        raise UserError(
            f"{override.input_line}: not allowed for retrain; use warm=true to start with the "
            "weights of RUN"
        )
    if key == "resume" and value not in (None, "auto"):
        raise UserError(
            f"{override.input_line}: retrain takes resume=auto; a run is resumed with "
            f"{command_line('train', f'resume={value}')}"
        )
    if key == "run_dir" and Path(str(value)).absolute() == run_dir:
        raise UserError(f"{override.input_line}: is RUN itself; choose another run_dir")


def _refuse_warm(record: RunRecord, values: Sequence[Override], stored: DictConfig) -> None:
    """Refuse weights that do not exist, or do not fit the model as overridden.

    A complete comparison, with the defaults of options that the run's config lacks, follows before
    the weights are loaded: see `recsys_lab.experiment.init_from`.
    """
    files = record.values.get("files", {})
    if FITTED in files or record.weights not in files:
        raise UserError(
            f"warm=true: {record.values['name']} is a fitted model without weights to start from; "
            "leave warm out: it is fitted again on the newer data"
        )
    for override in values:
        key = override.key_or_group
        if key.partition(".")[0] not in _SHAPES or is_free(key):
            continue
        before = OmegaConf.select(stored, key)
        now = None if override.is_delete() else override.value()
        now = str(now) if isinstance(before, str) else now
        if now != before:
            raise UserError(
                f"warm=true: {key} is {before!r} in RUN and {now!r} here, so its weights do not "
                f"fit; leave {key} out, or use warm=false"
            )


def is_free(key: str) -> bool:
    """Whether the weights do not depend on an option: dropout rates, encoders and folders."""
    last = key.rpartition(".")[2]
    return "dropout" in last or last == "encoder" or last.endswith("_dir")
