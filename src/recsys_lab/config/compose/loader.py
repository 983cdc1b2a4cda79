"""Hydra's config loader, without the settings of Hydra that run code or write files.

Hydra lets a config file build callbacks, launchers and log handlers of any class, set environment
variables and import packages. Here a file can only set `OF_FILES` and `FIXED`, and the command line
also `OF_COMMANDS`. This loader composes and checks every config, including jobs of a multirun,
trials of a sweep, ``--cfg`` and ``--help``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import (
    CachingConfigRepository,
    IConfigRepository,
)
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig

from recsys_lab.config import config_dir
from recsys_lab.config.compose.old_names import (
    forced,
    rename_options,
    rename_targets,
    targets_in,
    warn_moved,
    warn_of_typed,
)
from recsys_lab.config.compose.refused_settings import (
    refuse_composed,
    refuse_in_file,
    refuse_typed,
)
from recsys_lab.config.compose.repository import Repository, StoredConfig
from recsys_lab.config.origins import path_of, shown
from recsys_lab.moved import current


@dataclass(frozen=True)
class _Merged:
    """The files of a config, before the overrides of values.

    Attributes:
        cfg: merged; never changed.
        defaults: the files and choices, in order.
        files: what was loaded, by name.
    """

    cfg: DictConfig
    defaults: list[ResultDefault]
    files: Mapping[str, ConfigResult | None]


_MERGED: dict[tuple[Any, ...], _Merged] = {}
"""By choices and sources. A command composes its config several times, a sweep once a trial."""


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
        self.repository: Repository = Repository(config_search_path, stored)
        self.defaults: list[ResultDefault] = []
        self._primary: str | None = None

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a config, as Hydra does.

        Raises:
            RefusedSetting: a file or an override sets a refused setting.
        """
        typed = OverridesParser.create().parse_overrides(overrides)
        for override in typed:
            refuse_typed(override)
            warn_of_typed(override)
        cfg: DictConfig = super().load_configuration(
            config_name,
            [*map(forced, overrides, typed)],
            run_mode,
            from_shell,
            validate_sweep_overrides,
        )
        keys = {override.key_or_group for override in typed}
        refuse_composed(cfg, keys)
        rename_targets(cfg)
        rename_options(cfg, keys)
        return cfg

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

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """As Hydra does, but the files that equal choices name are merged once in a process."""
        parsed = OverridesParser.create().parse_overrides(overrides)
        options = (config_name, run_mode, from_shell, validate_sweep_overrides)
        if any(override.key_or_group == "hydra.searchpath" for override in parsed):
            return deepcopy(self._merged(overrides, *options).cfg)
        values = [override for override in parsed if self._is_value(override)]
        choices = [str(override.input_line) for override in parsed if override not in values]
        merged = self._merged(choices, *options)
        self.defaults = merged.defaults
        cfg = deepcopy(merged.cfg)
        self._apply_overrides_to_config(values, cfg)
        _note_overrides(cfg, parsed)
        return cfg

    def _is_value(self, override: Override) -> bool:
        """Whether it sets a value, and chooses no file."""
        if override.is_sweep_override():
            return False
        is_choice = self.repository.group_exists(override.key_or_group)
        return not is_choice or isinstance(override.value(), dict)

    def _merged(
        self,
        choices: list[str],
        config_name: str | None,
        run_mode: RunMode,
        from_shell: bool,
        validate_sweep_overrides: bool,
    ) -> _Merged:
        sources = tuple((source.provider, source.path) for source in self.repository.get_sources())
        key = (config_name, *choices, run_mode, from_shell, validate_sweep_overrides, sources)
        if (merged := _MERGED.get(key)) and self.repository.has(merged.files):
            return merged
        with self.repository.recorded() as files:
            cfg = super()._load_configuration_impl(
                config_name, choices, run_mode, from_shell, validate_sweep_overrides
            )
        merged = _Merged(cfg, self.defaults, files)
        if not self.repository.is_of_run:
            _MERGED[key] = merged
        return merged

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        self.defaults = defaults
        return super()._compose_config_from_defaults_list(defaults, repo)

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
        refuse_in_file(config, str(shown(path_of(loaded.path, name))))


def _note_overrides(cfg: DictConfig, parsed: list[Override]) -> None:
    """Write the overrides and the folder of the command into the config, as Hydra does."""
    lists: dict[bool, list[Override]] = {True: [], False: []}
    for override in parsed:
        lists[override.is_hydra_override()].append(override)
    cfg.hydra.overrides.hydra = [override.input_line for override in lists[True]]
    cfg.hydra.overrides.task = [override.input_line for override in lists[False]]
    cfg.hydra.runtime.cwd = os.getcwd()
    named = cfg.hydra.job.config.override_dirname
    cfg.hydra.job.override_dirname = get_overrides_dirname(
        lists[False], named.exclude_keys, named.item_sep, named.kv_sep
    )


def _is_the_labs(path: str) -> bool:
    return Path(path.removeprefix("file://")).resolve() == config_dir().resolve()
