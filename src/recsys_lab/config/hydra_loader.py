"""Hydra's config loader, without the settings of Hydra that run code or write files.

Hydra lets a config file build callbacks, launchers and log handlers of any class, set environment
variables and import packages. Here a file can only set `OF_FILES` and `FIXED`, and the command line
also `OF_COMMANDS`. This loader composes and checks every config, including jobs of a multirun,
trials of a sweep, ``--cfg`` and ``--help``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import (
    CachingConfigRepository,
    IConfigRepository,
)
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from recsys_lab.config import config_dir
from recsys_lab.config.old_names import (
    forced,
    rename_options,
    rename_targets,
    resolved,
    targets_in,
    warn_moved,
    warn_of_typed,
)
from recsys_lab.config.origins import path_of, shown
from recsys_lab.config.repository import Repository, StoredConfig, is_kept
from recsys_lab.moved import current

OF_FILES = ("run.dir", "sweep.dir", "sweep.subdir", "help")
"""Settings below ``hydra`` that a file may set to any value: output folders and help text."""

FIXED: Mapping[str, Any] = {"output_subdir": None, "job.chdir": False}
"""Settings that a file may set to the value in the lab's configs."""

OF_COMMANDS = (
    *(*OF_FILES, "output_subdir", "verbose", "mode", "searchpath", "launcher", "sweeper"),
    *("hydra_help", "job.name", "job.id", "job.num", "job.chdir", "job.config"),
)
"""Settings for the command line, in addition to ``hydra/GROUP=CHOICE`` of installed plugins."""

_COMPOSED: dict[tuple[Any, ...], DictConfig] = {}
"""The files of a config, in order, and their packages -> the config before overrides of values.

A command composes its config several times, a sweep once for each point of its space.
"""

_PLUGINS = {"launcher": "basic_launcher", "sweeper": "basic_sweeper"}
_HYDRAS_OWN = "hydra._internal.core_plugins."
_INSTALLED = (_HYDRAS_OWN, "hydra_plugins.")
_FORBIDDEN = "is not allowed: it could run arbitrary code."


class RefusedSetting(ConfigCompositionException):
    """A file or the command line sets a setting of Hydra that it may not set."""


class Loader(ConfigLoaderImpl):
    """Composes configs, and raises `RefusedSetting` before a refused setting has an effect.

    Args:
        config_search_path: Hydra's search path.
        stored: the config of a run, in parts, which come before the files; or None.

    Attributes:
        defaults: the files and choices that the last config was composed of.
    """

    def __init__(
        self, config_search_path: ConfigSearchPath, stored: StoredConfig | None = None
    ) -> None:
        super().__init__(config_search_path)
        self.repository = Repository(config_search_path, stored)
        self.defaults: list[ResultDefault] = []
        self._primary: str | None = None
        self._last: tuple[Any, DictConfig] | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a config, as Hydra does; once if it is asked for the same one again.

        Raises:
            RefusedSetting: a file or an override sets a refused setting.
        """
        asked = (config_name, [*overrides], run_mode, from_shell, validate_sweep_overrides)
        if self._last is not None and self._last[0] == asked:
            return deepcopy(self._last[1])
        typed = OverridesParser.create().parse_overrides(overrides)
        for override in typed:
            _refuse_typed(override)
            warn_of_typed(override)
        cfg: DictConfig = super().load_configuration(
            config_name,
            [*map(forced, overrides, typed)],
            run_mode,
            from_shell,
            validate_sweep_overrides,
        )
        keys = {override.key_or_group for override in typed}
        _refuse_composed(cfg, keys)
        rename_targets(cfg)
        rename_options(cfg, keys)
        self._last = (asked, cfg)
        return deepcopy(cfg)

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The choices of a group, or the groups in it.

        Hydra copies the repository first, as the search path may be set by a config or an override;
        ``--help``, which asks for a hundred groups, names neither.
        """
        if config_name is None and not overrides:
            return list(self.repository.get_group_options(group_name, results_filter))
        return list(super().get_group_options(group_name, results_filter, config_name, overrides))

    def _process_config_searchpath(
        self,
        config_name: str | None,
        parsed_overrides: list[Override],
        repo: CachingConfigRepository,
    ) -> None:
        """Check the primary config before its ``hydra.searchpath``, which may import packages."""
        self._primary = config_name
        loaded = repo.load_config(config_path=config_name) if config_name is not None else None
        if loaded is not None:
            self._refuse_file(config_name or "", loaded, None)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        self.defaults = defaults
        files = [repo.load_config(config_path=str(default.config_path)) for default in defaults]
        key = tuple(
            (id(file), default.config_path, default.package, default.primary)
            for file, default in zip(files, defaults, strict=True)
        )
        if key not in _COMPOSED:
            cfg = super()._compose_config_from_defaults_list(defaults, repo)
            if not all(file is not None and is_kept(file) for file in files):
                return cfg
            _COMPOSED[key] = cfg
        return deepcopy(_COMPOSED[key])

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        name = str(default.config_path)
        raw = repo.load_config(config_path=name)
        if raw is not None:
            self._refuse_file(name, raw, default.package)
        loaded = super()._load_single_config(default, repo)
        if raw is not None and loaded.config is raw.config:
            loaded = replace(loaded, config=deepcopy(raw.config))  # Hydra changes what it merges
        return loaded

    def _refuse_file(self, name: str, loaded: ConfigResult, package: str | None) -> None:
        """Refuse a user's file with refused settings."""
        if not loaded.path.startswith("file:") or _is_the_labs(loaded.path):
            return  # a config of the lab, or of an installed package
        config = self._embed_result_config(loaded, package).config
        if isinstance(config, DictConfig) and name != self._primary:  # not a stored run's config
            for _, old in targets_in("", config):
                if old != current(old):
                    warn_moved(str(shown(path_of(loaded.path, name))), old)
        if not isinstance(config, DictConfig) or "hydra" not in config.keys():  # noqa: SIM118
            return
        hydra = OmegaConf.to_container(OmegaConf.masked_copy(config, "hydra"), resolve=False)
        assert isinstance(hydra, dict)
        for path, value in _leaves(hydra["hydra"]):
            if not (_within(path, OF_FILES) or (path in FIXED and value == FIXED[path])):
                file = shown(path_of(loaded.path, name))
                raise RefusedSetting(
                    f"{_named(path)}: set by the file {file}. A file may only set Hydra's "
                    f"{', '.join(OF_FILES)}; remove this one: in a file it {_FORBIDDEN}"
                )


def _is_the_labs(path: str) -> bool:
    return Path(path.removeprefix("file://")).resolve() == config_dir().resolve()


def _refuse_typed(override: Override) -> None:
    """Refuse settings that the command line may not set, e.g. callbacks or a class."""
    key = override.key_or_group
    if not key.startswith("hydra.") and key != "hydra":
        return
    value = None if override.is_delete() or override.is_sweep_override() else override.value()
    for path, _ in _leaves(value, key.partition(".")[2]):
        if not _within(path, OF_COMMANDS) or "_target_" in path.split("."):
            raise RefusedSetting(f"{_named(path)} {_FORBIDDEN}")


def _refuse_composed(cfg: DictConfig, typed: set[str]) -> None:
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
