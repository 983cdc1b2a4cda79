"""Settings of Hydra that run code or write files, refused before they have an effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from recsys_lab.config.compose.old_names import resolved, targets_in

OF_FILES = ("run.dir", "sweep.dir", "sweep.subdir", "help")
"""Settings below ``hydra`` that a file may set to any value: output folders and help text."""

FIXED: Mapping[str, Any] = {"output_subdir": None, "job.chdir": False}
"""Settings that a file may set to the value in the lab's configs."""

OF_COMMANDS = (
    *(*OF_FILES, "output_subdir", "verbose", "mode", "searchpath", "launcher", "sweeper"),
    *("hydra_help", "job.name", "job.id", "job.num", "job.chdir", "job.config"),
)
"""Settings for the command line, in addition to ``hydra/GROUP=CHOICE`` of installed plugins."""

_PLUGINS = {"launcher": "basic_launcher", "sweeper": "basic_sweeper"}
_HYDRAS_OWN = "hydra._internal.core_plugins."
_INSTALLED = (_HYDRAS_OWN, "hydra_plugins.")
_FORBIDDEN = "is not allowed: it could run arbitrary code."


class RefusedSetting(ConfigCompositionException):
    """A file or the command line sets a setting of Hydra that it may not set."""


def refuse_in_file(config: Any, file: str) -> None:
    """Refuse the config of a user's file that sets a refused setting.

    Args:
        config: the content, in its package.
        file: its name for the message.
    """
    if not isinstance(config, DictConfig) or "hydra" not in config.keys():  # noqa: SIM118
        return
    hydra = OmegaConf.to_container(OmegaConf.masked_copy(config, "hydra"), resolve=False)
    assert isinstance(hydra, dict)
    for path, value in _leaves(hydra["hydra"]):
        if not (_within(path, OF_FILES) or (path in FIXED and value == FIXED[path])):
            raise RefusedSetting(
                f"{_named(path)}: set by the file {file}. A file may only set Hydra's "
                f"{', '.join(OF_FILES)}; remove this one: in a file it {_FORBIDDEN}"
            )


def refuse_typed(override: Override) -> None:
    """Refuse settings that the command line may not set, e.g. callbacks or a class."""
    key = override.key_or_group
    if not key.startswith("hydra.") and key != "hydra":
        return
    value = None if override.is_delete() or override.is_sweep_override() else override.value()
    for path, _ in _leaves(value, key.partition(".")[2]):
        if not _within(path, OF_COMMANDS) or "_target_" in path.split("."):
            raise RefusedSetting(f"{_named(path)} {_FORBIDDEN}")


def refuse_composed(cfg: DictConfig, typed: set[str]) -> None:
    """Refuse settings that are only visible in the composed config, e.g. chosen plugins."""
    for path in ("callbacks", "job.env_set", "job.env_copy"):
        if OmegaConf.select(cfg.hydra, path):
            raise RefusedSetting(f"{_named(path)} {_FORBIDDEN}")
    for part, own in _PLUGINS.items():
        target = str(resolved(resolved(cfg.hydra, part), "_target_"))
        if not target.startswith(f"{_HYDRAS_OWN}{own}.") and f"hydra/{part}" not in typed:
            raise RefusedSetting(
                f"hydra/{part}: {target} chosen by a file; type hydra/{part}=NAME in the command: "
                f"in a file it {_FORBIDDEN}"
            )
        for path, name in targets_in(part, resolved(cfg.hydra, part)):
            if not name.startswith(_INSTALLED):
                raise RefusedSetting(f"{_named(path)}: {name!r} {_FORBIDDEN}")


def _within(path: str, allowed: Sequence[str]) -> bool:
    return any(path == key or path.startswith(f"{key}.") for key in allowed)


def _named(path: str) -> str:
    return f"hydra.{path}" if path else "hydra"


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths with values; an empty mapping below the root counts as a value."""
    if not isinstance(node, Mapping) or (prefix and not node):
        yield prefix, node
        return
    for key, value in node.items():
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
