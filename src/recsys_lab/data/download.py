"""Files from their official home: checked, whole or absent, with a bounded wait."""

from __future__ import annotations

import hashlib
import logging
import shutil
import urllib.request
import uuid
import zipfile
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""


def download(url: str, md5: str, folder: Path, notice: str) -> Path:
    """A file of the web in a local folder; fetched when it is not there yet.

    Args:
        url: where it is.
        md5: of its content, as published beside it.
        folder: where it goes; made when absent.
        notice: licence terms, logged before the download.

    Raises:
        UserError: without a network, on an HTTP error, or when the content is not the published.
    """
    file = folder / url.rsplit("/", 1)[-1]
    if file.exists():
        _check(file, md5, url)
        return file
    log.warning("Downloading %s to %s. %s", url, file, notice)
    scratch = folder / f".{file.name}-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(url, scratch)
        _check(scratch, md5, url)
        scratch.rename(file)
    except (OSError, HTTPException) as error:  # OSError: of the network (URLError) and the disk
        raise UserError(
            f"{url} could not be downloaded to {folder}: {error}. Without a network, fetch it "
            "elsewhere and pass it: data.path=<the .zip or its unpacked folder>"
        ) from error
    finally:
        scratch.unlink(missing_ok=True)
    return file


def _fetch(url: str, scratch: Path) -> None:
    from rich.progress import wrap_file

    with urllib.request.urlopen(url, timeout=TIMEOUT) as response, scratch.open("wb") as target:
        size = int(response.headers.get("Content-Length") or 0)
        with wrap_file(response, total=size, description=url.rsplit("/", 1)[-1]) as source:
            shutil.copyfileobj(source, target, 1 << 20)


def _check(file: Path, md5: str, url: str) -> None:
    with file.open("rb") as stream:
        got = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if got != md5:
        raise UserError(
            f"{file} is not the published {url}: its MD5 is {got}, {md5} is expected. It is "
            "damaged, or the source has changed: delete it and try again, or pass a file that you "
            "trust: data.path=..."
        )


def read_members(place: Path, names: list[str], option: str) -> dict[str, bytes]:
    """Files out of a zip archive or an unpacked folder, found by name at any depth.

    Nothing is unpacked to disk.

    Args:
        place: the archive or the folder.
        names: file names without folders.
        option: the config option the place came from, named in errors.

    Raises:
        UserError: when the place or a file in it is absent, the archive is damaged, or a member's
            name leads out of the archive.
    """
    if place.is_dir():
        found = {name: file for name in names for file in sorted(place.rglob(name))[:1]}
        _require_all(found, names, place, option)
        return {name: file.read_bytes() for name, file in found.items()}
    try:
        with zipfile.ZipFile(place) as archive:
            members = archive.namelist()
            _refuse_unsafe(members, place, option)
            inside = {
                name: member
                for name in names
                for member in members
                if PurePosixPath(member).name == name
            }
            _require_all(inside, names, place, option)
            return {name: archive.read(member) for name, member in inside.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise UserError(
            f"{option}={place}: is not a whole zip archive ({error}); download it again"
        ) from error


def _refuse_unsafe(members: list[str], place: Path, option: str) -> None:
    for member in members:
        path = PurePosixPath(member.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1]:
            raise UserError(
                f"{option}={place}: unsafe archive, its member '{member}' leads out of the "
                "folder. This is not an official archive; do not use it"
            )


def _require_all(found: Iterable[str], names: list[str], place: Path, option: str) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            f"{option}={place}: has no {', '.join(missing)}; expected are {', '.join(names)}"
        )
