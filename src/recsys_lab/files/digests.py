"""SHA-256 of files and of JSON, to detect damage.

The *digest* of a file is ``{"bytes": its length, "sha256": of its content}``. The *seal* of a JSON
object is a field with the hash of all other fields.
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
"""The field of a JSON object with its seal."""


class Digest(TypedDict):
    """Expected length and SHA-256 of a file."""

    bytes: int
    sha256: str


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_first(stream: IO[bytes], length: int) -> str:
    """SHA-256 of the first bytes of a file, for a file that ends with its hash."""
    hashed = hashlib.sha256()
    stream.seek(0)
    while length and (part := stream.read(min(length, _PART))):
        hashed.update(part)
        length -= len(part)
    return hashed.hexdigest()


def digest(file: Path) -> Digest:
    """The digest of a file."""
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def digests(folder: Path, names: Iterable[str]) -> dict[str, Digest]:
    """Digests of some files of a folder, by name; files are hashed in parallel."""
    chosen = list(names)
    with ThreadPoolExecutor() as pool:  # hashing releases the GIL
        return dict(zip(chosen, pool.map(lambda name: digest(folder / name), chosen), strict=True))


def damage(folder: Path, files: Mapping[str, Digest], verify: Verify = "full") -> str | None:
    """What is wrong with the first missing or changed file, or None.

    Args:
        folder: folder of the files.
        files: name -> digest.
        verify: how they are checked.
    """
    for name, expected in files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != expected["bytes"]:
            return f"{file} is missing or is not {expected['bytes']} bytes long"
    if verify == "full":
        with ThreadPoolExecutor() as pool:
            hashes = pool.map(lambda name: sha256_of(folder / name), files)
        for (name, expected), sha256 in zip(files.items(), hashes, strict=True):
            if sha256 != expected["sha256"]:
                return f"{folder / name} is damaged: its content is not what was written (SHA-256)"
    return None


def content_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def seal(values: Mapping[str, Any]) -> str:
    """The hash of a JSON object without its seal, equal before and after it is written.

    Raises:
        TypeError: a value is not JSON-compatible.
    """
    stored = json.loads(json.dumps(values))  # numeric keys become strings
    stored.pop(SEAL, None)
    return content_hash(stored)
