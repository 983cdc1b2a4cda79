"""SHA-256 of files and of JSON: whether what is read is what was written.

A *digest* of a file is ``{"bytes": its length, "sha256": of its content}``. A *seal* is a field of
a JSON object with the hash of all others, so that a changed digit in it is found, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypedDict

from recsys_lab.config.commands import Verify

_PART = 1 << 20
SEAL = "digest"
"""The field of a JSON object that holds its seal."""


class Digest(TypedDict):
    """What a file must be."""

    bytes: int
    sha256: str


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_first(stream: IO[bytes], length: int) -> str:
    """SHA-256 of the first bytes of a file: for a hash that stands at its own end."""
    hashed = hashlib.sha256()
    stream.seek(0)
    while length and (part := stream.read(min(length, _PART))):
        hashed.update(part)
        length -= len(part)
    return hashed.hexdigest()


def digest(file: Path) -> Digest:
    """The digest of a file as it is now."""
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def digests(folder: Path, names: Iterable[str]) -> dict[str, Digest]:
    """Digests of some files of a folder, by name; long files are hashed side by side."""
    chosen = list(names)
    with ThreadPoolExecutor() as pool:  # hashing holds no lock of Python's
        return dict(zip(chosen, pool.map(lambda name: digest(folder / name), chosen), strict=True))


def damage(folder: Path, files: Mapping[str, Digest], verify: Verify = "full") -> str | None:
    """What is wrong with the first file that is not as it was written, or None.

    Args:
        folder: that the names are relative to.
        files: name -> digest.
        verify: how they are checked.
    """
    for name, noted in files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != noted["bytes"]:
            return f"{file} is missing or is not {noted['bytes']} bytes long"
    if verify == "full":
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda name: sha256_of(folder / name) != files[name]["sha256"], files)
        for name, is_other in zip(files, found, strict=True):
            if is_other:
                return f"{folder / name} is damaged: its content is not what was written (SHA-256)"
    return None


def content_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def seal(values: Mapping[str, Any]) -> str:
    """The hash of a JSON object without its seal; equal before it is written and after.

    Raises:
        TypeError: JSON has no such value.
    """
    stored = json.loads(json.dumps(values))  # keys that are numbers become texts
    stored.pop(SEAL, None)
    return content_hash(stored)
