"""Hydra's repository of config files, with errors that name the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf
from yaml import YAMLError  # type: ignore[import-untyped]

from recsys_lab.config import UserError
from recsys_lab.config.origins import STORED, path_of, shown

_READ: dict[tuple[str, Path | str, bytes], ConfigResult | None] = {}
"""Source, path and content of a config file -> the file as Hydra reads it, never changed.

The files of Hydra itself have no content here, as they do not change while a process lives.
"""


@dataclass(frozen=True)
class StoredConfig:
    """The config of a run as if it were files: a primary config and a choice for each group.

    Attributes:
        file: the config that the run stored, for messages.
        parts: content by name, e.g. ``train`` and ``model/SASRec``.
    """

    file: Path
    parts: Mapping[str, Mapping[str, Any]]


class Repository(ConfigRepository):
    """Reads config files, with errors that name the file.

    Args:
        config_search_path: Hydra's search path.
        stored: the config of a run, in parts, or None.
    """

    def __init__(
        self, config_search_path: ConfigSearchPath, stored: StoredConfig | None = None
    ) -> None:
        super().__init__(config_search_path)
        self._stored = stored
        self._loaded: dict[str, ConfigResult | None] = {}

    @property
    def is_of_run(self) -> bool:
        """Whether the config of a run comes before the files."""
        return self._stored is not None

    @contextmanager
    def recorded(self) -> Iterator[dict[str, ConfigResult | None]]:
        """What this repository, or a copy of it, loads meanwhile, by name."""
        self._loaded.clear()
        files: dict[str, ConfigResult | None] = {}
        yield files
        files.update(self._loaded)

    def has(self, files: Mapping[str, ConfigResult | None]) -> bool:
        """Whether all of these files, and no others of these names, are what it would load."""
        return all(self.load_config(name) is loaded for name, loaded in files.items())

    def config_exists(self, config_path: str) -> bool:
        """Whether there is a config of that name."""
        is_stored = self._stored is not None and config_path in self._stored.parts
        return is_stored or super().config_exists(config_path)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a file as Hydra does, also with a byte order mark.

        Raises:
            UserError: the file is not YAML, not UTF-8, or cannot be opened, or a later folder has
                another file of that name.
        """
        if self._stored is not None and config_path in self._stored.parts:
            return self._of_run(self._stored, config_path)
        loaded = self._loaded[config_path] = self._of_source(config_path)
        return loaded

    def _of_source(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "file":
            return self._of_package(source, config_path)
        path = path_of(source.path, config_path)
        file = shown(path)
        try:
            content = path.read_bytes()
            self._refuse_hidden(source, config_path, content)
            key = (source.provider, path, content)
            if key not in _READ:
                _READ[key] = self._read(config_path, path)
        except UnicodeDecodeError as error:
            raise UserError(f"{file}: not UTF-8 ({error}); save it as UTF-8.") from error
        except YAMLError as error:
            raise UserError(f"{file}: not valid YAML: {_of_yaml(error)}") from error
        except OSError as error:
            raise UserError(f"{file}: cannot be read as a config: {error}") from error
        return _READ[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> Repository:
        """Hydra copies the repository to replace the list of sources in the copy."""
        return copy(self)

    def _of_package(self, source: ConfigSource | None, config_path: str) -> ConfigResult | None:
        key = (source.full_path() if source else "", config_path, b"")
        if key in _READ:
            return _READ[key]
        loaded = super().load_config(config_path)
        if loaded is not None and loaded.provider == "hydra":
            _READ[key] = loaded
        return loaded

    def _of_run(self, stored: StoredConfig, config_path: str) -> ConfigResult:
        config = OmegaConf.create(dict(stored.parts[config_path]))
        header = ConfigSource._get_header_dict("")
        loaded = ConfigResult("stored", f"{STORED}{stored.file}", config, header)
        defaults = self._extract_defaults_list(config_path, config)
        loaded.defaults_list = self._create_defaults_list(config_path, defaults)
        return loaded

    def _refuse_hidden(self, source: ConfigSource, config_path: str, content: bytes) -> None:
        """Refuse a name that a later folder (``--config-dir``) has, too: its file is not read."""
        for other in self.get_sources():
            if other is source or other.scheme() != "file" or not other.is_config(config_path):
                continue
            file = path_of(other.path, config_path)
            if file.read_bytes() != content:
                raise UserError(
                    f"{shown(file)}: there is already a config {config_path!r} in {source.path}, "
                    "which would be used instead of this one; give the file another name."
                )

    def _read(self, config_path: str, path: Path) -> ConfigResult | None:
        loaded = super().load_config(config_path)
        if loaded is not None:
            with path.open(encoding="utf-8-sig") as text:
                loaded.header = ConfigSource._get_header_dict(text.read(512))
        return loaded


def _of_yaml(error: YAMLError) -> str:
    """Problem and position, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    hint = "; indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}{hint}."
