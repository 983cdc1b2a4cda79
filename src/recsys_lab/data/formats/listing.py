"""The files that a path means: a single file, or those of a pattern, a folder or a URL."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from recsys_lab.config import UserError
from recsys_lab.data.formats.paths import file_key, readable, require_file, require_open, siblings
from recsys_lab.data.formats.remote import copy_url, has_wildcard, is_remote, list_urls
from recsys_lab.data.formats.table_file import SUFFIXES, form_of

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""Means null in the name of a partition's folder, as Hive writes it."""


@dataclass(frozen=True)
class Listed:
    """One file of a log.

    Attributes:
        name: relative to the folder that all files share, with ``/``.
        location: local path or URL.
        partition: column -> value of every ``key=value`` folder in its name; None for null.
        label: its name in errors, if the user does not know ``name``.
    """

    name: str
    location: str
    partition: Mapping[str, str | None]
    label: str | None = None

    @property
    def shown(self) -> str:
        """Its name in errors."""
        return self.label or self.name

    def key(self, option: str) -> dict[str, Any]:
        """Name, size and SHA-256 of the content.

        Args:
            option: named in errors.

        Raises:
            UserError: if it cannot be read.
        """
        if is_remote(self.location):
            return {"name": self.name, **copy_url(self.location, None, option)}
        return {**file_key(Path(self.location)), "name": self.name}


def list_files(path: str, option: str, separator: str | None) -> list[Listed]:
    """The files of a log in reading order: by their names relative to the folder.

    Numbers in names are compared as numbers: part-9 comes before part-10, and 2.csv before 10.csv.
    Folders are searched at any depth for files with a table's suffix (any suffix if a separator is
    given), without files and folders whose name begins with ``_`` or ``.``, as Spark and Hive do.

    Args:
        path: as the user wrote it.
        option: the config option it came from, named in errors.
        separator: of delimited text, or None.

    Raises:
        UserError: if there is no such file, or the files of a folder have several formats.
    """
    names, one = list_urls(path, option) if is_remote(path) else _local(path, option)
    ordered = sorted(names.items(), key=lambda item: _natural(item[0]))
    files = [_listed(name, location) for name, location in ordered]
    if one:
        return files
    is_pattern = has_wildcard(path)
    visible = [file for file in files if is_pattern or not _hidden(file.name)]
    tables = [file for file in visible if separator or form_of(file.name).suffix in SUFFIXES]
    if not tables:
        inside = ", ".join(file.name for file in files[:8]) or "nothing"
        verb = "matches" if is_pattern else "holds"
        raise UserError(
            f"{option}={path}: {verb} no table; allowed: {', '.join(SUFFIXES)} (text also with "
            f".gz, .bz2, .xz, .zst), or any text with data.separator set. It {verb}: {inside}"
        )
    _require_one_form(tables, path, option)
    return tables


def list_parts(
    paths: Mapping[str, tuple[str, str]],
    written: Mapping[str, str],
    separator: str | None,
    column: str,
) -> list[Listed]:
    """The files of a log in several parts, such as train, validation and test.

    Args:
        paths: part -> option and path.
        written: part -> option and path as the user wrote them, for errors; without secrets.
        separator: of delimited text, or None.
        column: gets the part of every row, as if each part were a folder ``column=part``.

    Raises:
        UserError: as `list_files`, also if the parts have several formats.
    """
    listed = []
    for part, (option, path) in paths.items():
        files = list_files(path, option, separator)
        for file in files:
            label = written[part] + (f": {file.name}" if len(files) > 1 else "")
            listed.append((part, replace(file, name=f"{part}/{file.name}", label=label)))
    _require_one_form([file for _, file in listed], *next(iter(paths.values()))[::-1])
    return [replace(file, partition={**file.partition, column: part}) for part, file in listed]


def _natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """A sort key: text and numbers of a name in turn; equal numbers (1, 01) by their characters."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    return [(text, int(number or -1)) for text, number in parts], name


def _local(path: str, option: str) -> tuple[dict[str, str], bool]:
    """Files as relative name -> path, and whether the path means a single file."""
    location = Path(path).expanduser()
    with readable(f"{option}={path}"):
        if location.is_dir():
            require_open(location, option)
            root, files = location, list(location.rglob("*"))
        elif location.exists() or not glob.has_magic(path):
            require_file(path, option)
            return {location.name: str(location)}, True
        else:
            root = Path(*_fixed_parts(location))
            if root.is_dir():
                next(root.iterdir(), None)  # raises without permission, where glob finds nothing
            files = [Path(file) for file in glob.glob(str(location), recursive=True)]
            if not files:
                raise UserError(
                    f"{option}={path}: no file matches this pattern{siblings(root / '*')}"
                )
        return {f.relative_to(root).as_posix(): str(f) for f in files if f.is_file()}, False


def _fixed_parts(pattern: Path) -> list[str]:
    parts = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return parts


def _listed(name: str, location: str) -> Listed:
    partition = {}
    for folder in PurePosixPath(name).parts[:-1]:
        key, equals, value = folder.partition("=")
        if equals and key:
            partition[key] = None if value == NO_VALUE else unquote(value)
    return Listed(name, location, partition)


def _hidden(name: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(name).parts)


def _require_one_form(tables: list[Listed], path: str, option: str) -> None:
    forms: dict[str, str] = {}
    for file in tables:
        forms.setdefault(form_of(file.name).suffix, file.shown)
    if len(forms) > 1 and tables[0].label:
        raise UserError(
            f"the files of a published split have several formats: {'; '.join(forms.values())}. "
            "Write them in one format"
        )
    if len(forms) > 1:
        shown = "; ".join(f"{suffix}: {name}" for suffix, name in sorted(forms.items()))
        raise UserError(
            f"{option}={path}: holds tables of several formats ({shown}). Select those of the log "
            f"with a pattern, e.g. {option}='{path.rstrip('/')}/*{min(forms)}'"
        )
    keys = {file.shown: sorted(file.partition) for file in tables}
    first = keys[tables[0].shown]
    for name, other in keys.items():
        if other != first:
            raise UserError(
                f"{option}={path}: {name} lies in the partition folders {other}, {tables[0].shown} "
                f"in {first}; all files of a log must have the same ones"
            )
