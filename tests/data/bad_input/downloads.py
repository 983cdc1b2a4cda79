"""Archives and downloads of published sets that are not what they should be."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from recsys_lab.data.formats.download import download
from recsys_lab.data.sources.published.movielens import MovieLens
from tests.data.conftest import build

LOG = "".join(f"{n % 5}::{n % 7}::5::{978_300_000 + n}\n" for n in range(40))
FILES = {"ratings.dat": LOG, "movies.dat": "1::Toy Story (1995)::Comedy\n",
         "users.dat": "1::F::1::10::48067\n"}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """One malformed archive or download.

    Attributes:
        what: for people, in the table.
        use: reads it, given an empty folder.
        message: a pattern of the error.
    """

    what: str
    use: Callable[[Path], Any]
    message: str


def zipped(files: dict[str, str], *, share: float = 1.0) -> Callable[[Path], Any]:
    """Read a MovieLens archive of which only the first share was saved."""

    def use(folder: Path) -> Any:
        file = folder / "ml-1m.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        data = file.read_bytes()
        file.write_bytes(data[: int(len(data) * share)])
        reader = build(MovieLens, "data", "movielens_1m", path=str(file))
        reader.source_key()
        (folder / "scratch").mkdir()
        return reader.read_raw(folder / "scratch")

    return use


class Short(BaseHTTPRequestHandler):
    """Announces ten bytes; the path says how many come."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789"[: int(self.path.rpartition("-")[2])])

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Short) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def fetched(size: int, **hashes: str) -> Callable[[Path], Any]:
    """Download a file of which so many bytes come."""

    def use(folder: Path) -> Any:
        with site() as address:
            url = f"{address}/set-{size}"
            md5 = hashes.get("md5")
            return download(url, md5, folder, "", sha256=hashes.get("sha256"))

    return use


def unanswered(folder: Path) -> Any:
    return download("http://127.0.0.1:9/set.zip", None, folder, "")


def forbidden(folder: Path) -> Any:
    (folder / "file").touch()
    return download("http://127.0.0.1:9/set.zip", None, folder / "file" / "deeper", "")


PUBLISHED = [
    Published("a zip cut short", zipped(FILES, share=0.6), r"ml-1m.zip.* not a complete zip"),
    Published("a member that leads out of the folder",
        zipped({**FILES, "../../ratings.dat": LOG}), "unsafe archive, its member .* leads out"),
    Published("a zip bomb", zipped({**FILES, "ratings.dat": "0" * (80 << 20)}),
        "more than 67,108,864 bytes out of .*, as a zip bomb does"),
    Published("an archive without the log", zipped({"README": "x"}), "has no ratings.dat"),
    Published("a download that breaks off", fetched(4), "the connection broke 4 times"),
    Published("a download of the wrong hash", fetched(10, md5="0" * 32),
        "its MD5 is [0-9a-f]{32}, expected 0{32}"),
    Published("one of another hash than the user's", fetched(10, sha256="0" * 64),
        "data.sha256=0{64}: .* has the SHA-256 84d8"),
    Published("a server that is not there", unanswered, "could not be downloaded"),
    Published("a folder that cannot be made", forbidden, "data.download_dir=.*: cannot be used"),
]  # fmt: skip
