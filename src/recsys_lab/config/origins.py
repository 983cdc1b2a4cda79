"""The origin of each value of a composed config, for error messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from recsys_lab.config import Sources, config_dir
from recsys_lab.config.errors import closest
from recsys_lab.moved import current_key

STORED = "stored://"
"""Begins the place of a config that is not a file of its own, but a part of a run's config."""


class ConfigSources(Sources):
    """Overrides and YAML files by the dotted paths that they set.

    Args:
        loader: Hydra's loader, with the user's folders on its search path.
        overrides: the value overrides of the command line, in order.
        defaults: the merged YAML files, in order.
        as_typed: gives an override as the user typed it.
    """

    def __init__(
        self,
        loader: ConfigLoaderImpl,
        overrides: Sequence[Override],
        defaults: Sequence[ResultDefault],
        as_typed: Callable[[str], str] = str,
    ) -> None:
        self._loader = loader
        self._overrides = overrides
        self._defaults = defaults
        self._as_typed = as_typed

    def origin(self, path: str) -> str:
        """``(from the override x=1)``, ``(from configs/model/sasrec.yaml)`` or an empty text."""
        for override in reversed(self._overrides):
            if _overlap(current_key(override.key_or_group), path):
                return f"(from the override {self._as_typed(str(override.input_line))})"
        for default in reversed(self._defaults):
            file = self._file_if_sets(default, path)
            if file is not None:
                return f"(from {file})"
        return ""

    def elsewhere(self, group: str, option: str) -> str:
        """Other choices of the group with a similar option, readable."""
        similar: dict[str, list[str]] = {}
        for choice in choices(self._loader, group):
            loaded = self._loader.repository.load_config(f"{group}/{choice}")
            keys = [str(k) for k in loaded.config] if loaded else []
            match = closest(option, [k for k in keys if k != "_target_"])
            if match:
                similar.setdefault(match, []).append(f"{group}={choice}")
        return " or ".join(f"{o!r} (an option of {', '.join(c)})" for o, c in similar.items())

    def groups(self) -> list[str]:
        """The config groups."""
        return [g for g in self._loader.list_groups("") if g != "hydra"]

    def choices(self, group: str) -> list[str]:
        """The choices of a group; none if there is no such group."""
        return choices(self._loader, group)

    def _file_if_sets(self, default: ResultDefault, path: str) -> str | None:
        if default.config_path is None or default.config_path.startswith("hydra/"):
            return None
        package = default.package or ""
        if package and not f"{path}.".startswith(f"{package}."):
            return None
        loaded = self._loader.repository.load_config(default.config_path)
        inner = path[len(package) + 1 :] if package else path
        if loaded is None or (inner and not _has(loaded.config, inner)):
            return None
        return shown(path_of(loaded.path, default.config_path))


def choices(loader: ConfigLoaderImpl, group: str) -> list[str]:
    """All choices of a group; those in subfolders as ``folder/name``."""
    return list(_choices(loader, group, ""))


def _choices(loader: ConfigLoaderImpl, group: str, prefix: str) -> Iterator[str]:
    for name in loader.get_group_options(group, ObjectType.CONFIG):
        yield prefix + name
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        yield from _choices(loader, f"{group}/{folder}", f"{prefix}{folder}/")


def path_of(folder: str, name: str) -> Path:
    """The file of a config.

    Args:
        folder: folder of its source, with or without ``file://``.
        name: of the config, relative to the folder.
    """
    if folder.startswith(STORED):
        return Path(folder.removeprefix(STORED))
    return Path(folder.removeprefix("file://")) / f"{name.removesuffix('.yaml')}.yaml"


def shown(file: Path) -> str:
    """A short path: relative to the working directory or to the lab's configs, if possible."""
    for base, prefix in ((Path.cwd(), Path()), (config_dir(), Path("configs"))):
        if file.is_relative_to(base):
            return str(prefix / file.relative_to(base))
    return str(file)


def _overlap(key: str, path: str) -> bool:
    return key == path or path.startswith(key + ".") or key.startswith(path + ".")


def _has(config: Any, path: str) -> bool:
    for part in path.split("."):
        # _get_node also works for values that are missing (???) or cannot be interpolated.
        if not isinstance(config, DictConfig) or part not in config.keys():  # noqa: SIM118
            return False
        config = config._get_node(part)
    return True
