"""Hydra's repository of config files, with errors that name the file."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from yaml import YAMLError  # type: ignore[import-untyped]

from recsys_lab.config import UserError
from recsys_lab.config.origins import path_of, shown

if TYPE_CHECKING:
    from pathlib import Path

_READ: dict[tuple[str, Path, bytes], ConfigResult | None] = {}
"""Source, path and content of a config file -> the file as Hydra reads it.

A command composes its config several times, a sweep once for each point of its space.
"""


class Repository(ConfigRepository):
    """Reads config files, with errors that name the file."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a file as Hydra does, also with a byte order mark.

        Raises:
            UserError: the file is not YAML, not UTF-8, or cannot be opened, or a later folder has
                another file of that name.
        """
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "file":
            return super().load_config(config_path)
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
        return deepcopy(_READ[key])  # Hydra changes what it gets

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
