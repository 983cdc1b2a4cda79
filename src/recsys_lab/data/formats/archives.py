"""Files inside folders, zip, tar and gzip archives as streams, without unpacking to disk.

Members are matched by name at any depth and never written, so no name, link or device in an archive
can reach a path outside it; an archive that tries to is refused as well. The bytes read are
counted, and a zip bomb is stopped at `MAX_RATIO` times its compressed size.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from recsys_lab.config import UserError

MAX_RATIO = 200
"""Largest ratio of unpacked to packed bytes. Logs in JSON or text shrink 3 to 20 times."""

FREE_BYTES = 64 << 20
"""Unpacked bytes that any archive is allowed, however small it is."""

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)
"""Python's exceptions for a damaged archive."""

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


class BoundedReader(io.RawIOBase):
    """A stream that raises a `UserError` if it yields more bytes than allowed.

    Args:
        source: the stream to read.
        packed: its compressed size in bytes.
        where: the option and the file, named in the error.
    """

    def __init__(self, source: IO[bytes], packed: int, where: str) -> None:
        self._source, self._where, self._packed = source, where, packed
        self._left = allowed_bytes(packed)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer."""
        data = self._source.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise bomb(self._where, allowed_bytes(self._packed), self._packed)
        buffer[: len(data)] = data
        return len(data)


def allowed_bytes(packed: int) -> int:
    """The largest unpacked size of so many compressed bytes."""
    return max(FREE_BYTES, MAX_RATIO * packed)


def bomb(where: str, size: int, packed: int) -> UserError:
    """The error for a zip bomb."""
    return UserError(
        f"{where}: unpacks to more than {size:,} bytes out of {packed:,}, as a zip bomb does; no "
        f"official file grows more than {MAX_RATIO} times. Do not use it, or unpack it yourself "
        "and pass the folder"
    )


@contextmanager
def open_member(path: Path, name: str, option: str) -> Iterator[IO[bytes]]:
    """Open a file of an archive by its name, unpacked while it is read.

    Args:
        path: a folder, zip or tar that holds it at any depth, also as ``NAME.gz``; or the file
            itself under any name, also with gzip.
        name: without folders.
        option: the config option of ``path``, named in errors.

    Raises:
        UserError: if the file is absent, or the archive is damaged, unsafe or a zip bomb. Damage
            and bombs are detected while the stream is read.
    """
    with _as_user_error(path, option), ExitStack() as stack:
        stream = _opened(path, name, option, stack)
        if stream is None:
            raise UserError(f"{option}={path}: has no {name}; expected {name} or {name}.gz")
        yield stream


def find_members(path: Path, names: Sequence[str], option: str) -> list[str]:
    """The names that `open_member` would find; a plain file or gzip counts as the first.

    Raises:
        UserError: as `open_member`.
    """
    with _as_user_error(path, option):
        if path.is_dir():
            return [name for name in names if find_in_folder(path, name) is not None]
        if _is_zip(path):
            with zipfile.ZipFile(path) as archive:
                members = {_bare(info.filename) for info in archive.infolist()}
        elif _is_tar(path):
            with _tar(path, option) as tar:
                members = {_bare(member.name) for member in _safe(tar, path, option)}
        else:
            return list(names[:1])
        return [name for name in names if name in members]


def member_key(path: Path, names: Sequence[str], option: str) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files, equal for an archive and its unpacked folder.

    Raises:
        UserError: as `open_member`.
    """
    key = {}
    for name in names:
        with open_member(path, name, option) as stream:
            digest, size = hashlib.sha256(), 0
            while part := stream.read(1 << 20):
                digest.update(part)
                size += len(part)
        key[name] = {"bytes": size, "sha256": digest.hexdigest()}
    return key


def _opened(path: Path, name: str, option: str, stack: ExitStack) -> IO[bytes] | None:
    where = f"{option}={path}"
    if path.is_dir():
        file = find_in_folder(path, name)
        return None if file is None else _plain(file, f"{option}={file}", stack)
    if _is_zip(path):
        archive = stack.enter_context(zipfile.ZipFile(path))
        _refuse_unsafe((info.filename for info in archive.infolist()), path, option)
        packed = sum(info.compress_size for info in archive.infolist())
        size = sum(info.file_size for info in archive.infolist())
        if size > allowed_bytes(packed):
            raise bomb(where, allowed_bytes(packed), packed)
        for info in archive.infolist():
            if _bare(info.filename) == name and not info.is_dir():
                if info.flag_bits & 1:
                    raise UserError(
                        f"{where}: its member '{info.filename}' is encrypted; unpack it yourself "
                        "and pass the folder"
                    )
                source = stack.enter_context(archive.open(info))
                return _bounded(source, max(info.compress_size, 1), where, info.filename)
        return None
    if _is_tar(path):
        tar = stack.enter_context(_tar(path, option))
        for member in _safe(tar, path, option):
            if _bare(member.name) == name and member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                return _bounded(content, path.stat().st_size, where, member.name)
        return None
    return _plain(path, where, stack)


def _plain(file: Path, where: str, stack: ExitStack) -> IO[bytes]:
    raw = stack.enter_context(file.open("rb"))
    if raw.peek(2)[:2] != b"\x1f\x8b":  # by content: browsers unpack gzip and keep the name
        return raw
    unzipped = stack.enter_context(gzip.GzipFile(fileobj=raw))
    return _bounded(unzipped, file.stat().st_size, where, "")


def _bounded(source: Any, packed: int, where: str, member: str) -> IO[bytes]:
    """The stream with a limit; a second gzip inside an archive is unpacked too."""
    stream = io.BufferedReader(BoundedReader(source, packed, where), 1 << 18)
    if not member.endswith(".gz"):
        return stream
    inner: Any = gzip.GzipFile(fileobj=stream)
    return io.BufferedReader(BoundedReader(inner, packed, where), 1 << 18)


@contextmanager
def _tar(path: Path, option: str) -> Iterator[tarfile.TarFile]:
    """The archive as a bounded stream: a bomb may also hide in a member that is not read."""
    with ExitStack() as stack:
        plain = _plain(path, f"{option}={path}", stack)
        yield stack.enter_context(tarfile.open(fileobj=plain, mode="r|*"))


def _safe(tar: tarfile.TarFile, path: Path, option: str) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        _refuse_unsafe([member.name], path, option)
        if not (member.isfile() or member.isdir()):
            raise UserError(
                f"{option}={path}: unsafe archive, its member '{member.name}' is a link or a "
                "device. This is not an official archive; do not use it"
            )
        yield member


@contextmanager
def _as_user_error(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except (*BROKEN, NotImplementedError) as error:
        form = "tar" if _is_tar(path) else "gzip" if path.suffix.lower() == ".gz" else "zip"
        raise UserError(
            f"{option}={path}: not a complete {form} archive ({error}): damaged or cut short; "
            "download it again"
        ) from error
    except PermissionError as error:
        raise UserError(f"{option}={path}: no permission to read it ({error})") from error


def _is_zip(path: Path) -> bool:
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _is_tar(path: Path) -> bool:
    return path.name.lower().endswith(TAR_SUFFIXES)


def _bare(member: str) -> str:
    """The base name of a member, without .gz."""
    return PurePosixPath(member.replace("\\", "/")).name.removesuffix(".gz")


def find_in_folder(folder: Path, name: str) -> Path | None:
    """A file of a folder by its name, at any depth, also as ``NAME.gz``."""
    matches = [*sorted(folder.rglob(name)), *sorted(folder.rglob(f"{name}.gz"))]
    return next((file for file in matches if file.is_file()), None)


def _refuse_unsafe(members: Iterable[str], path: Path, option: str) -> None:
    for member in members:
        inside = PurePosixPath(member.replace("\\", "/"))
        has_drive = member[1:2] == ":"
        if inside.is_absolute() or ".." in inside.parts or has_drive:
            raise UserError(
                f"{option}={path}: unsafe archive, its member '{member}' leads out of the "
                "folder. This is not an official archive; do not use it"
            )
