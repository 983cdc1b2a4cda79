"""Files in object stores and on the web, listed, hashed and copied through fsspec."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError, first_line
from recsys_lab.files.faults import out_of_space

CHUNK = 1 << 20

PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp", "hf": "huggingface_hub",
    "sftp": "paramiko", "ssh": "paramiko", "hdfs": "pyarrow", "oss": "ossfs", "dbfs": "requests",
}  # fmt: skip
"""Scheme -> the package that fsspec needs for it; these packages look up the credentials."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL with a scheme, such as ``s3://bucket/log.csv``."""
    return "://" in path


def has_wildcard(url: str) -> bool:
    """Whether a URL is a pattern; ``?`` is no wildcard, it begins the query of a URL."""
    return "*" in _without_query(url) or "[" in _without_query(url)


def _without_query(url: str) -> str:
    """A URL without its query, which may be a signature that changes."""
    return url.partition("?")[0]


def list_urls(url: str, option: str) -> tuple[dict[str, str], bool]:
    """The files that a URL means.

    Args:
        url: a file, a folder, or either with ``*``.
        option: the config option it came from, named in errors.

    Returns:
        Name of each file, relative to the folder that they share -> its URL; and whether ``url``
        means a single file.

    Raises:
        UserError: if the scheme is unknown, its package is not installed, or the address cannot
            be reached.
    """
    files, path = _opened(url, option)
    web = url.startswith("http")  # folders cannot be distinguished from files
    with _reached(url, option):
        one = not has_wildcard(url) and (web or not files.isdir(path))
        if one:
            files.info(path)
            root, names = _without_query(path).rpartition("/")[0], [path]
        elif has_wildcard(url):
            fixed = path[: min(path.find(mark) for mark in "*[" if mark in path)]
            root, names = fixed.rpartition("/")[0], files.glob(path)
        else:
            root, names = path.rstrip("/"), files.find(path)
        names = [name for name in names if one or web or files.isfile(name)]
    return {
        _without_query(name.removeprefix(root).lstrip("/")): files.unstrip_protocol(name)
        for name in names
    }, one


def copy_url(url: str, target: Path | None, option: str) -> dict[str, Any]:
    """Read a whole remote file; copy or only hash it.

    Args:
        url: of one file.
        target: the file to write, or None to compute only the hash.
        option: the config option it came from, named in errors.

    Returns:
        ``bytes`` and ``sha256`` of the content.

    Raises:
        UserError: if it cannot be read, or ends before its announced size.
    """
    files, path = _opened(url, option)
    digest, size = hashlib.sha256(), 0
    sink = target.open("wb") if target is not None else None
    try:
        with _reached(url, option):
            announced = files.info(path).get("size")
            # A block size of 0 reads everything in one response: not every server supports ranges.
            how = {"block_size": 0} if url.startswith("http") else {}
            with files.open(path, "rb", **how) as source:
                while chunk := source.read(CHUNK):
                    size += len(chunk)
                    digest.update(chunk)
                    if sink is not None:
                        sink.write(chunk)
            if announced is not None and size < announced:
                raise ConnectionError(f"only {size:,} of {announced:,} bytes received")
    finally:
        if sink is not None:
            sink.close()
    return {"bytes": size, "sha256": digest.hexdigest()}


def _opened(url: str, option: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    # A signature covers the URL exactly as written, so it must not be encoded again.
    how = {"encoded": True} if scheme in ("http", "https") and "?" in url else {}
    try:
        files, path = url_to_fs(url, **how)
    except ImportError as error:
        package = PACKAGES.get(scheme)
        need = f"the package {package}: pip install {package}" if package else str(error)
        raise UserError(f"{option}={url}: {scheme}:// needs {need}") from error
    except ValueError as error:
        raise UserError(
            f"{option}={url}: unknown scheme '{scheme}://' ({error}); expected e.g. s3://, gs://, "
            "az:// or https://, or a local path without a scheme"
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
        cause = error.__cause__  # fsspec's HTTP driver raises this for every failure
        if isinstance(cause, Exception) and _is_more(cause, url):
            raise _unreachable(url, option, cause) from error
        raise UserError(f"{option}={url}: no such file") from error
    except Exception as error:  # every driver raises its own kinds
        if isinstance(error, OSError) and out_of_space(error):
            raise
        raise _unreachable(url, option, error) from error


def _is_more(cause: Exception, url: str) -> bool:
    """Whether the cause is another than a missing file: no network, or an expired signature."""
    if isinstance(cause, OSError) or not url.startswith("http"):
        return isinstance(cause, OSError)
    from aiohttp import ClientResponseError  # fsspec's driver of the web, so it is there

    return isinstance(cause, ClientResponseError) and cause.status in (401, 403)


def _unreachable(url: str, option: str, error: Exception) -> UserError:
    return UserError(
        f"{option}={url}: cannot be read ({type(error).__name__}: {first_line(error)}). Check "
        "the address, the network and the credentials of this machine, or copy the file here"
    )
