"""Base class of readers of published datasets, which downloads, checks and unpacks files.

A subclass declares its files and parses them. `recsys-lab datasets` lists every config of the group
``data`` whose reader describes it in `PublishedDataset.named`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import TAR_SUFFIXES, find_in_folder, find_members, open_member
from recsys_lab.data.formats.download import download
from recsys_lab.data.formats.paths import file_key, is_there
from recsys_lab.data.raw import About

__all__ = ["OPTION", "About", "DatasetInfo", "PublishedDataset", "describe"]

OPTION = "data.path"


@dataclass(frozen=True)
class DatasetInfo:
    """Description of a published dataset.

    Attributes:
        about: title, homepage, licence, citation, protocol notes.
        size: rows, users and items of the raw log, and size of the download.
        needs: requirements, e.g. an account.
        has_md5: whether its publisher states a hash that downloads are checked against.
    """

    about: About
    size: str
    needs: str
    has_md5: bool = False


def describe(reader: type[Any], options: Mapping[str, Any]) -> DatasetInfo | None:
    """The description of the dataset that a reader class reads with some options.

    Returns:
        None for generic sources, and for a variant without a description.
    """
    if not issubclass(reader, PublishedDataset):
        return None
    if isinstance(reader.named, DatasetInfo):
        return reader.named
    return reader.named.get(str(options.get("variant")))


def variants(reader: type[Any]) -> dict[str, DatasetInfo]:
    """The description of each value of the option ``variant``; empty without that option."""
    if issubclass(reader, PublishedDataset) and not isinstance(reader.named, DatasetInfo):
        return dict(reader.named)
    return {}


class PublishedDataset:
    """Reader of a published dataset.

    A subclass has a ``Config`` with the option ``path`` and, if it can be downloaded,
    ``download_dir`` and ``sha256``. It sets attributes that depend on options in ``__init__``.

    Args:
        config: location of the files, and what to read.

    Attributes:
        named: the description, or one for each value of the option ``variant``.
        official: the value to pass as ``data.path``, for messages.
        url: of the file to download; None: see `obtain`.
        md5: published hash of that file; None: the first download is trusted.
        obtain: how to get files that cannot be downloaded automatically.
        files: required official names; a plain file or gzip under any name counts as the first of
            them, and the others are in its folder.
        optional: official names that may be absent.
        about: licence, citation and notes of the chosen variant.
    """

    named: ClassVar[DatasetInfo | Mapping[str, DatasetInfo]] = {}
    official: str
    url: str | None = None
    md5: str | None = None
    obtain = ""
    files: Sequence[str] = ()
    optional: Sequence[str] = ()

    def __init__(self, config: Any) -> None:
        self.config = config
        named = describe(type(self), vars(config))
        assert named is not None
        self.about = named.about

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of every file that is read, or of the archive."""
        source = self.source_path()
        if _is_archive(source):
            return {self.files[0]: file_key(source)}
        return {name: file_key(file) for name, file in self._plain(source).items()}

    def source_path(self) -> Path:
        """The file, archive or folder that ``data.path`` names; downloaded if it is null.

        Raises:
            UserError: if it does not exist, is empty, or may not be read.
        """
        path = self.config.path
        if path is None and self.url is not None:
            return self.fetch(self.url, md5=self.md5, sha256=self.config.sha256)
        if path is None:
            raise UserError(
                f"{OPTION} is not set, and {type(self).__name__} cannot be downloaded "
                f"automatically: {self.obtain}, and pass {self.official}: {OPTION}=..."
            )
        source = Path(path).expanduser()
        if not is_there(path, OPTION):
            null = ", or data.path=null to download it" if not self.obtain else ""
            raise UserError(
                f"{OPTION}={path}: no such file or folder. Pass {self.official}{null}; the working "
                f"directory is {Path.cwd()}"
            )
        if source.is_file() and source.stat().st_size == 0:
            raise UserError(f"{OPTION}={path}: the file is empty (0 bytes)")
        return source

    def fetch(
        self, url: str, *folders: str, md5: str | None = None, sha256: str | None = None
    ) -> Path:
        """A published file in ``data.download_dir``, downloaded on first use.

        Args:
            url: its address.
            folders: subfolders of ``data.download_dir``.
            md5: published hash; None: the first download is trusted.
            sha256: hash pinned by the user, or None.

        Raises:
            UserError: if it cannot be downloaded, or does not match its hash.
        """
        folder = Path(self.config.download_dir).expanduser().joinpath(*folders)
        notice = f"{self.about.title}: {self.about.licence} {self.about.citation}"
        return download(url, md5, folder, notice, sha256=sha256)

    def unpacked(self, scratch: Path) -> dict[str, Path]:
        """Plain files by name, from a folder, a zip, a tar, a gzip, or a file itself.

        Compressed files among `files` and `optional` are unpacked to ``scratch`` in chunks.

        Raises:
            UserError: if a file is absent, or the archive is damaged, unsafe or a zip bomb.
        """
        source, wanted = self.source_path(), [*self.files, *self.optional]
        if _is_archive(source):
            files = dict.fromkeys(find_members(source, wanted, OPTION), source)
        else:
            files = self._plain(source)
        self.require(source, files)
        for name, file in files.items():
            if _is_archive(source) or _is_gzip(file):
                files[name] = scratch / name
                with open_member(file, name, OPTION) as packed, files[name].open("wb") as target:
                    shutil.copyfileobj(packed, target, 1 << 20)
        return files

    def require(self, source: Path, present: Mapping[str, Any] | Sequence[str]) -> None:
        """Check that all required files are present.

        Raises:
            UserError: naming all that are absent.
        """
        missing = [name for name in self.files if name not in present]
        if missing:
            raise UserError(
                f"{OPTION}={source}: has no {', '.join(missing)}; expected "
                f"{', '.join([*self.files, *self.optional])} of {self.about.title}"
            )

    def _plain(self, source: Path) -> dict[str, Path]:
        """Files by name: in a folder at any depth, also with .gz; or a file and its neighbours."""
        first, *others = names = [*self.files, *self.optional]
        if source.is_dir():
            files = {name: find_in_folder(source, name) for name in names}
            return {name: file for name, file in files.items() if file is not None}
        beside = {name: source.with_name(name) for name in others}
        return {first: source} | {
            name: file for name, file in beside.items() if file.is_file() and file != source
        }


def _is_archive(file: Path) -> bool:
    return file.is_file() and file.name.lower().endswith((".zip", *TAR_SUFFIXES))


def _is_gzip(file: Path) -> bool:
    with file.open("rb") as stream:  # by content: browsers unpack gzip and keep the name
        return stream.read(2) == b"\x1f\x8b"
