"""Downloads of published files: verified, never left incomplete, with a timeout."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import logging
import re
import shutil
import time
import urllib.request
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError

from recsys_lab.config import UserError
from recsys_lab.files.atomic import write_text
from recsys_lab.files.digests import sha256_of
from recsys_lab.files.faults import FULL, REFUSED, MachineFault
from recsys_lab.pages.terminal import Terminal

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is closed."""

ATTEMPTS = 4
"""Largest number of connections per download; each resumes where the last one broke."""

LEFTOVER = 86_400.0
"""Seconds after which the partial file of a killed process is removed."""


class _Broken(Exception):
    """The connection ended early; the bytes received so far are valid."""


def download(
    url: str, md5: str | None, folder: Path, notice: str, *, sha256: str | None = None
) -> Path:
    """Download a file to a local folder unless it is already there, and verify it.

    If neither hash is given, the first use is trusted: the SHA-256 is written beside the file
    (``NAME.sha256``, in the format of ``sha256sum``) and checked at every later use.

    Args:
        url: its address.
        md5: of its content, as published beside it; None if none is published.
        folder: where it is stored; created if absent.
        notice: licence terms, logged before the download.
        sha256: of its content, as pinned by the user (``data.sha256``), or None.

    Raises:
        UserError: without a network, space or permission, on an HTTP error, if the connection
            breaks `ATTEMPTS` times, or if the content does not match its hash.
    """
    name = url.rsplit("/", 1)[-1]
    file = folder / name
    with _explained(url, folder):
        if file.exists():
            _check(file, md5, sha256, url)
            return file
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder, name)
        log.warning("Downloading %s to %s. %s", url, file, notice)
        scratch = folder / f".{name}-{uuid.uuid4().hex[:8]}"
        try:  # `finally` also after Ctrl-C: no partial file stays
            _fetch(url, scratch)
            _check(scratch, md5, sha256, url, file)
            scratch.rename(file)
        finally:
            scratch.unlink(missing_ok=True)
    return file


@contextlib.contextmanager
def _explained(url: str, folder: Path) -> Iterator[None]:
    """Turn errors of the network and the disk into a `UserError`."""
    elsewhere = "download it elsewhere and pass it: data.path=<the file>"
    try:
        yield
    except (HTTPError, URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"{url} could not be downloaded to {folder}: {error}. Without a network, {elsewhere}"
        ) from error
    except _Broken as error:
        raise UserError(
            f"{url} could not be downloaded to {folder}: the connection broke {ATTEMPTS} times "
            f"({error}). Nothing was kept; try again, or {elsewhere}"
        ) from error
    except OSError as error:
        setting = f"data.download_dir={folder}"
        if error.errno in FULL:
            raise MachineFault(
                f"{setting}: no space left for {url} ({error.strerror}); nothing was kept. Free "
                "some space, or choose another data.download_dir"
            ) from error
        if error.errno in REFUSED:
            raise UserError(
                f"{setting}: no permission to read or write there ({error}); choose another "
                "data.download_dir"
            ) from error
        raise UserError(
            f"{setting}: cannot be used for {url} ({error}); choose another data.download_dir"
        ) from error


def _sweep(folder: Path, name: str) -> None:
    for half in folder.glob(f".{name}-????????"):
        with contextlib.suppress(OSError):  # its process has just finished, or another user owns it
            if time.time() - half.stat().st_mtime > LEFTOVER:
                half.unlink()


def _fetch(url: str, scratch: Path) -> None:
    """Write the whole file, over several connections if one breaks."""
    with scratch.open("wb") as target:
        transfer = _Transfer(url, target)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                transfer.receive()
                return
            except _Broken as error:
                if attempt == ATTEMPTS:
                    raise
                log.warning("%s: %s; resuming at byte %s", url, error, f"{target.tell():,}")


class _Transfer:
    """A file that is received in one or several responses.

    Args:
        url: its address.
        target: the bytes received so far.
    """

    def __init__(self, url: str, target: IO[bytes]) -> None:
        self.url, self.target = url, target
        self.version: str | None = None  # the server's ETag of the content so far

    def receive(self) -> None:
        """Append the rest of the file.

        Raises:
            _Broken: if fewer bytes were received than announced.
        """
        start = self.target.tell()
        asked = {"Range": f"bytes={start}-", "If-Range": self.version or ""} if start else {}
        request = urllib.request.Request(self.url, headers=asked)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT or not _goes_on(response, start):
                start = 0  # the server sends the whole file: no range support, or new content
            self.target.seek(start)
            self.target.truncate()
            version = response.headers.get("ETag")
            self.version = None if version is None or version.startswith("W/") else str(version)
            length = response.headers.get("Content-Length") or ""
            size = int(length) if length.isdigit() else None
            _require_space(self.target, size, self.url)
            try:
                self._copy(response, size)
                got = self.target.tell() - start
                short = size is not None and got < size
                problem = f"{got:,} of {size:,} bytes received" if short else ""
            except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
                problem = str(error) or type(error).__name__
        if problem:
            if self.version is None:
                self.target.seek(0)  # without an ETag a later response may not continue this one
            raise _Broken(problem)

    def _copy(self, response: Any, size: int | None) -> None:
        from rich.markup import escape
        from rich.progress import wrap_file

        name = escape(self.url.rsplit("/", 1)[-1])
        console = Terminal()
        with wrap_file(response, total=size or 0, description=name, console=console) as source:
            shutil.copyfileobj(source, self.target, 1 << 20)
        self.target.flush()


def _goes_on(response: Any, start: int) -> bool:
    return re.match(rf"bytes {start}-", response.headers.get("Content-Range") or "") is not None


def _require_space(target: IO[bytes], size: int | None, url: str) -> None:
    """Fail before a long download that does not fit on the disk."""
    free = shutil.disk_usage(target.name).free
    if size is not None and size > free:
        raise OSError(
            errno.ENOSPC, f"{url.rsplit('/', 1)[-1]} has {size:,} bytes, {free:,} are free"
        )


def _check(
    file: Path, md5: str | None, sha256: str | None, url: str, final: Path | None = None
) -> None:
    """Compare with the published MD5, the user's SHA-256, or the SHA-256 of the first use."""
    final = final or file
    if md5 is not None:
        with file.open("rb") as stream:
            kind = partial(hashlib.md5, usedforsecurity=False)
            got = hashlib.file_digest(stream, kind).hexdigest()
        if got != md5:
            raise UserError(
                f"{final} is not the published {url}: its MD5 is {got}, expected {md5}. It is "
                "damaged, or the source has changed: delete it and try again, or pass a file that "
                "you trust: data.path=..."
            )
    if sha256 is None and md5 is not None:
        return
    got = sha256_of(file)
    if sha256 is not None and got != sha256.strip().lower():
        raise UserError(
            f"data.sha256={sha256}: {final} ({url}) has the SHA-256 {got}. It is damaged, or the "
            "source has changed: delete it and try again, or correct data.sha256"
        )
    if md5 is None:
        _remember(final, got, url)


def _remember(file: Path, got: str, url: str) -> None:
    """Compare with the SHA-256 of the first use, or record it."""
    record = file.with_name(f"{file.name}.sha256")
    if file.exists() and record.exists():
        words = record.read_text(encoding="utf-8", errors="replace").split()
        known = words[0] if words else ""
        if got != known:
            raise UserError(
                f"{file} has changed since its first use: its SHA-256 is {got}, {record.name} "
                f"says {known or 'nothing'}. Delete both to download {url} again"
            )
        return
    log.warning(
        "%s: no hash is published; its SHA-256 is trusted from now on. To pin it: data.sha256=%s",
        file,
        got,
    )
    write_text(record, f"{got}  {file.name}\n")
