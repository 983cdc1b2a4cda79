"""Which files a path stands for: one, those of a pattern, those of a folder, those of a URL."""

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
"""What stands for null in the name of a partition's folder."""


@dataclass(frozen=True)
class Listed:
    """One file of a log.

    Attributes:
        name: below the folder that all files share, with ``/``.
        place: local path or URL.
        partition: column -> value of every ``key=value`` folder in its name; None for null.
        told: how errors name it, where ``name`` is none that the user knows.
    """

    name: str
    place: str
    partition: Mapping[str, str | None]
    told: str | None = None

    @property
    def shown(self) -> str:
        """How errors name it."""
        return self.told or self.name

    def key(self, option: str) -> dict[str, Any]:
        """Name, size and SHA-256 of the content.

        Args:
            option: named in errors.

        Raises:
            UserError: when it cannot be read.
        """
        if is_remote(self.place):
            return {"name": self.name, **copy_url(self.place, None, option)}
        return {**file_key(Path(self.place)), "name": self.name}


def list_files(path: str, option: str, separator: str | None) -> list[Listed]:
    """The files of a log in the order in which they are read: by their names below the folder.

    Numbers in names are compared as numbers: part-9 is read before part-10, and 2.csv before
    10.csv. In a folder, files are taken at any depth whose suffix is one of a table (any suffix
    when a separator is given); those whose name, or a folder's name, begins with ``_`` or ``.`` are
    left out, as Spark and Hive do.

    Args:
        path: as the user wrote it.
        option: the config option it came from, named in errors.
        separator: of delimited text, or None.

    Raises:
        UserError: when there is no such file, or the files of a folder are of several forms.
    """
    names, one = list_urls(path, option) if is_remote(path) else _local(path, option)
    ordered = sorted(names.items(), key=lambda item: _natural(item[0]))
    found = [_listed(name, place) for name, place in ordered]
    if one:
        return found
    chosen = has_wildcard(path)
    visible = [file for file in found if chosen or not _hidden(file.name)]
    tables = [file for file in visible if separator or form_of(file.name).suffix in SUFFIXES]
    if not tables:
        inside = ", ".join(file.name for file in found[:8]) or "nothing"
        kind = "matches" if chosen else "holds"
        raise UserError(
            f"{option}={path}: {kind} no table; allowed: {', '.join(SUFFIXES)} (text also with "
            f".gz, .bz2, .xz, .zst), or data.separator set. It {kind}: {inside}"
        )
    _require_one_form(tables, path, option)
    return tables


def list_parts(
    paths: Mapping[str, tuple[str, str]],
    written: Mapping[str, str],
    separator: str | None,
    column: str,
) -> list[Listed]:
    """The files of a log that comes in parts, such as train, validation and test.

    Args:
        paths: part -> option and path.
        written: part -> option and path as the user wrote them, for errors: no secret.
        separator: of delimited text, or None.
        column: of every row, with its part, as if each part were a folder ``column=part``.

    Raises:
        UserError: as `list_files` does, also where the parts are of several forms.
    """
    found = []
    for part, (option, path) in paths.items():
        files = list_files(path, option, separator)
        for file in files:
            told = written[part] + (f": {file.name}" if len(files) > 1 else "")
            found.append((part, replace(file, name=f"{part}/{file.name}", told=told)))
    _require_one_form([file for _, file in found], *next(iter(paths.values()))[::-1])
    return [replace(file, partition={**file.partition, column: part}) for part, file in found]


def _natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Orders names by their text and the numbers in it; equal ones (1, 01) by their characters."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    return [(text, int(number or -1)) for text, number in parts], name


def _local(path: str, option: str) -> tuple[dict[str, str], bool]:
    """Name below the folder -> path of the files, and whether the path names one file."""
    place = Path(path).expanduser()
    with readable(f"{option}={path}"):
        if place.is_dir():
            require_open(place, option)
            root, files = place, list(place.rglob("*"))
        elif place.exists() or not glob.has_magic(path):
            require_file(path, option)
            return {place.name: str(place)}, True
        else:
            root = Path(*_fixed_parts(place))
            if root.is_dir():
                next(root.iterdir(), None)  # patterns find nothing where they may not look
            files = [Path(file) for file in glob.glob(str(place), recursive=True)]
            if not files:
                raise UserError(
                    f"{option}={path}: no file matches this pattern.{siblings(root / '*')}"
                )
        return {f.relative_to(root).as_posix(): str(f) for f in files if f.is_file()}, False


def _fixed_parts(pattern: Path) -> list[str]:
    parts = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return parts


def _listed(name: str, place: str) -> Listed:
    partition = {}
    for folder in PurePosixPath(name).parts[:-1]:
        key, equals, value = folder.partition("=")
        if equals and key:
            partition[key] = None if value == NO_VALUE else unquote(value)
    return Listed(name, place, partition)


def _hidden(name: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(name).parts)


def _require_one_form(tables: list[Listed], path: str, option: str) -> None:
    forms: dict[str, str] = {}
    for file in tables:
        forms.setdefault(form_of(file.name).suffix, file.shown)
    if len(forms) > 1 and tables[0].told:
        raise UserError(
            f"the files of a published split are of several forms: {'; '.join(forms.values())}. "
            "Write them in one"
        )
    if len(forms) > 1:
        shown = "; ".join(f"{suffix}: {name}" for suffix, name in sorted(forms.items()))
        raise UserError(
            f"{option}={path}: holds tables of several forms ({shown}). Name those of the log "
            f"with a pattern, e.g. {option}='{path.rstrip('/')}/*{min(forms)}'"
        )
    keys = {file.shown: sorted(file.partition) for file in tables}
    first = keys[tables[0].shown]
    for name, other in keys.items():
        if other != first:
            raise UserError(
                f"{option}={path}: {name} lies in the partition folders {other}, {tables[0].shown} "
                f"in {first}; all files of a log need the same ones"
            )
