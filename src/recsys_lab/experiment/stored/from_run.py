"""``from=RUN_DIR``: a new run of the config that a run stored, with overrides.

The stored config is composed as if it were files: a primary config with the top-level values, and a
choice for each group. So every override works as usual, ``model=gru4rec`` too, which replaces all
options of the model, and ``experiment=`` or ``debug=``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from recsys_lab.config import UserError, config_dir
from recsys_lab.config.commands import TrainConfig
from recsys_lab.config.compose import Request, make_loader
from recsys_lab.config.compose.repository import StoredConfig
from recsys_lab.config.origins import choices
from recsys_lab.config.quoting import quoted
from recsys_lab.config.verbs import FROM_IS_OF
from recsys_lab.experiment.resume import parsed, require_run, stored_config
from recsys_lab.moved import with_current_names
from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.find import flatten
from recsys_lab.runs.record import CONFIG, RECORD, RunRecord

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

FROM = "from"
_OWN = ("run_dir", "resume", FROM)
"""Keys of a run that its successor does not take over."""


def started_from(request: Request, verb: str) -> Request:
    """Rewrite a request with ``from=RUN_DIR`` to compose the config that the run stored.

    Args:
        request: as typed.
        verb: its verb.

    Returns:
        The same request without ``from``.

    Raises:
        UserError: RUN_DIR has no run, its config was changed, or the command cannot start from one.
    """
    overrides = {text: parsed(text) for text in request.overrides}
    given = [o for o in overrides.values() if o is not None and o.key_or_group == FROM]
    if not given or given[-1].is_delete():
        return request
    if given[-1].is_sweep_override():
        raise UserError(
            f"{request.as_typed(str(given[-1].input_line))}: takes one run, whose config the jobs "
            "of --multirun change; give a command for each run"
        )
    value = given[-1].value()
    if value is None:
        return request
    run_dir = Path(str(value)).absolute()
    _refuse(request, verb, [o for o in overrides.values() if o is not None])
    _require_run(run_dir)
    stored = _named(stored_config(run_dir))
    unmarked = [text for text, o in overrides.items() if o is not None and _is_no_smoke_test(o)]
    if unmarked:
        stored["debug"] = None
    parts = _parts(request, RunRecord.load(run_dir), stored)
    own = [text for text in request.overrides if overrides[text] in given]
    kept = [text for text in request.overrides if text not in (*own, *unmarked)]
    texts = [_also_new(text, overrides[text], stored) for text in kept]
    # The same folder, wherever the command is repeated.
    texts.append(f"{FROM}={quoted(str(run_dir))}")
    typed = {
        **{new: request.as_typed(old) for new, old in zip(texts, kept, strict=False)},
        texts[-1]: request.as_typed(own[-1]),
    }
    found = StoredConfig(run_dir / CONFIG, {verb: parts.pop(""), **parts})
    return replace(request, overrides=texts, stored=found, typed={**request.typed, **typed})


def changes(cfg: DictConfig) -> dict[str, tuple[Any, Any]]:
    """What differs from the config of the run that ``cfg`` starts from: key -> old, new value.

    A key that older runs lack counts as null. Of another class only its name is listed.
    """
    stored = _named(stored_config(Path(cfg[FROM])))
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    stored = {**_late_values(), **stored}
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*stored, *plain]):
        old, new = stored.get(str(key)), plain.get(key)
        if key in _OWN or old == new:
            continue
        before, after = _class(old), _class(new)
        if before != after:
            found[str(key)] = before or old, after or new
            continue
        first, second = flatten({str(key): old}), flatten({str(key): new})
        for name in dict.fromkeys([*first, *second]):
            if first.get(name) != second.get(name):
                found[name] = first.get(name), second.get(name)
    return found


def _late_values() -> dict[str, Any]:
    """Top-level keys that older runs lack, with the values that they stand for."""
    fields = dataclasses.fields(TrainConfig)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def in_words(found: Mapping[str, tuple[Any, Any]]) -> str:
    """The changes in one line: ``seed 0 -> 3, model SASRec -> GRU4Rec``."""
    texts = [
        f"{key} {format_value(_short(old))} -> {format_value(_short(new))}"
        for key, (old, new) in found.items()
    ]
    return ", ".join(texts) or "nothing is changed"


def _short(value: Any) -> Any:
    is_class = isinstance(value, str) and value.startswith("recsys_lab.")
    return value.rpartition(".")[2] if is_class else value


def _class(node: Any) -> str | None:
    return str(node["_target_"]) if isinstance(node, Mapping) and "_target_" in node else None


def _is_no_smoke_test(override: Override) -> bool:
    """Whether it takes the mark of a smoke test away: ``debug=null`` or ``~debug``."""
    if override.key_or_group != "debug" or override.is_sweep_override():
        return False
    return override.is_delete() or override.value() is None


def _named(stored: DictConfig) -> dict[str, Any]:
    """The stored config with current names."""
    named: dict[str, Any] = with_current_names(OmegaConf.to_container(stored, resolve=False))
    return named


def _refuse(request: Request, verb: str, overrides: list[Override]) -> None:
    """Refuse commands that cannot start from a run."""
    if request.schema is not TrainConfig:
        raise UserError(f"{FROM}: not for {verb}; {FROM_IS_OF}")
    if request.config_name != verb:
        raise UserError(f"{FROM}: not together with --config-name, as it replaces that config")
    resumed = [o for o in overrides if o.key_or_group == "resume" and not o.is_delete()]
    if any(o.is_sweep_override() or o.value() not in (None, "auto") for o in resumed):
        raise UserError(
            f"{FROM}: got resume, too. {FROM}=RUN_DIR begins a new run with changes, "
            "resume=RUN_DIR continues one; give one of them."
        )


def _require_run(run_dir: Path) -> None:
    """Check that a folder has a run; say what it is, if it is something else of the lab's.

    Raises:
        UserError: it has none.
    """
    if run_dir.is_dir() and not (run_dir / RECORD).exists():
        inner = sorted(path.parent for path in run_dir.glob(f"trials/*/{RECORD}"))
        if (run_dir / "plan.json").is_file():
            example = (
                f", e.g. {shlex.quote(f'{FROM}={os.path.relpath(inner[0])}')}" if inner else ""
            )
            raise UserError(f"{FROM}: {run_dir} is a sweep; give one of its runs{example}")
        if (run_dir / "manifest.json").is_file():
            is_data = (run_dir / "interactions.parquet").is_file()
            kind = "a prepared dataset" if is_data else "an export"
            raise UserError(
                f"{FROM}: {run_dir} is {kind}, which has no config of a run; give a run directory"
            )
    require_run(run_dir, FROM)


def _parts(request: Request, record: RunRecord, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The stored config in parts by name; the primary config has an empty name."""
    primary = OmegaConf.load(config_dir() / "train.yaml")
    plain = OmegaConf.to_container(primary, resolve=False)
    assert isinstance(plain, dict)
    loader = make_loader(request)
    parts: dict[str, Any] = {}
    defaults = []
    for entry in plain["defaults"]:
        group = next(iter(entry)) if isinstance(entry, dict) else ""
        if isinstance(entry, str) or " " in group:  # _self_, optional and override
            defaults.append(entry)
            continue
        node, name = stored.get(group), None
        if node is not None:
            name = _choice(group, record, node)
            name = f"{name}-stored" if name in choices(loader, group) else name
            parts[f"{group}/{name}"] = node
        defaults.append({group: name})
    values = {
        key: value
        for key, value in stored.items()
        if key in plain and key not in _OWN and not (key == "debug" and value is None)
    }
    return {"": {**plain, **values, "defaults": defaults}, **parts}


def _choice(group: str, record: RunRecord, node: Mapping[str, Any]) -> str:
    """The name of a stored choice: that of the run for its model, else the class."""
    name = str(node["_target_"]).rpartition(".")[2]
    config = record.values["config"]
    if group == "model" and config.get("name") is None and config.get("debug") is None:
        return str(record.values["name"])
    return name


def _also_new(text: str, override: Override | None, stored: Mapping[str, Any]) -> str:
    """An override, with ``++`` if its key is newer than the stored config."""
    if override is None or override.is_delete() or text.startswith("+"):
        return text
    group, dot, option = override.key_or_group.partition(".")
    node = stored.get(group)
    is_new = dot and isinstance(node, Mapping) and option.partition(".")[0] not in node
    return f"++{text}" if is_new else text


def noted(cfg: DictConfig, found: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The field of the record: the run, and what was changed."""
    changed = {key: list(pair) for key, pair in found.items()}
    return {FROM: json.loads(json.dumps({"run": str(cfg[FROM]), "changed": changed}, default=str))}
