"""Files in object stores and on the web, through fsspec: found, hashed, copied here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.config.errors import first_line
from recsys_lab.files.faults import out_of_space

CHUNK = 1 << 20

PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp", "hf": "huggingface_hub",
    "sftp": "paramiko", "ssh": "paramiko", "hdfs": "pyarrow", "oss": "ossfs", "dbfs": "requests",
}  # fmt: skip
"""What fsspec needs for a scheme; credentials are taken where these packages look for them."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL with a scheme, such as ``s3://bucket/log.csv``."""
    return "://" in path


def has_wildcard(url: str) -> bool:
    """Whether a URL stands for several files; ``?`` begins a query, as URLs have it."""
    return "*" in _place(url) or "[" in _place(url)


def _place(url: str) -> str:
    """A URL without its query, which may be a signature that is another one tomorrow."""
    return url.partition("?")[0]


def list_urls(url: str, option: str) -> tuple[dict[str, str], bool]:
    """The files that a URL stands for.

    Args:
        url: a file, a folder, or either with ``*``.
        option: the config option it came from, named in errors.

    Returns:
        the name of each file below the folder that they share -> its own URL, and whether ``url``
        names one file.

    Raises:
        UserError: when the scheme is not known, its package is not installed, or the place cannot
            be reached.
    """
    files, path = _opened(url, option)
    web = url.startswith("http")  # where folders cannot be told from files
    with _reached(url, option):
        one = not has_wildcard(url) and (web or not files.isdir(path))
        if one:
            files.info(path)
            root, found = _place(path).rpartition("/")[0], [path]
        elif has_wildcard(url):
            fixed = path[: min(path.find(mark) for mark in "*[" if mark in path)]
            root, found = fixed.rpartition("/")[0], files.glob(path)
        else:
            root, found = path.rstrip("/"), files.find(path)
        found = [name for name in found if one or web or files.isfile(name)]
    return {
        _place(name.removeprefix(root).lstrip("/")): files.unstrip_protocol(name) for name in found
    }, one


def copy_url(url: str, target: Path | None, option: str) -> dict[str, Any]:
    """Read a remote file from its beginning to its end.

    Args:
        url: of one file.
        target: where its content goes, or None to take its hash alone.
        option: the config option it came from, named in errors.

    Returns:
        ``bytes`` and ``sha256`` of the content.

    Raises:
        UserError: when it cannot be read, or ends before its announced size.
    """
    files, path = _opened(url, option)
    digest, size = hashlib.sha256(), 0
    sink = target.open("wb") if target is not None else None
    try:
        with _reached(url, option):
            announced = files.info(path).get("size")
            # A block size of 0 reads in one answer: not every web server serves ranges.
            how = {"block_size": 0} if url.startswith("http") else {}
            with files.open(path, "rb", **how) as source:
                while chunk := source.read(CHUNK):
                    size += len(chunk)
                    digest.update(chunk)
                    if sink is not None:
                        sink.write(chunk)
            if announced is not None and size < announced:
                raise ConnectionError(f"only {size:,} of {announced:,} bytes came")
    finally:
        if sink is not None:
            sink.close()
    return {"bytes": size, "sha256": digest.hexdigest()}


def _opened(url: str, option: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    # A signature covers the address as it is written.
    how = {"encoded": True} if scheme in ("http", "https") and "?" in url else {}
    try:
        files, path = url_to_fs(url, **how)
    except ImportError as error:
        package = PACKAGES.get(scheme)
        need = f"the package {package}: pip install {package}" if package else str(error)
        raise UserError(f"{option}={url}: {scheme}:// needs {need}") from error
    except ValueError as error:
        raise UserError(
            f"{option}={url}: the scheme '{scheme}://' is not known ({error}). Known are e.g. "
            "s3://, gs://, az://, https://; a file on this machine has no scheme"
        ) from error
    except Exception as error:
        raise _unreachable(url, option, error) from error
    return files, str(path)


@contextmanager
def _reached(url: str, option: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # of the web's driver, which says so of all that fails
        if isinstance(cause, Exception) and _is_more(cause, url):
            raise _unreachable(url, option, cause) from error
        raise UserError(f"{option}={url}: no such file") from error
    except Exception as error:  # every driver raises its own kinds
        if isinstance(error, OSError) and out_of_space(error):
            raise
        raise _unreachable(url, option, error) from error


def _is_more(cause: Exception, url: str) -> bool:
    """Whether it is more than that nothing is there: no network, or a signature that expired."""
    if isinstance(cause, OSError) or not url.startswith("http"):
        return isinstance(cause, OSError)
    from aiohttp import ClientResponseError  # fsspec's driver of the web, so it is there

    return isinstance(cause, ClientResponseError) and cause.status in (401, 403)


def _unreachable(url: str, option: str, error: Exception) -> UserError:
    return UserError(
        f"{option}={url}: cannot be read ({type(error).__name__}: {first_line(error)}). Check "
        "the address, the network and the credentials of this machine, or copy the file here"
    )
