"""Tables in object stores and on the web."""

from __future__ import annotations

import gzip
import importlib.util
import socketserver
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler

import fsspec
import pytest

from tests.data.sources.test_table import CSV, ROWS, read
from tests.data.sources.test_table_errors import fails
from tests.data.sources.test_table_files import frame, store, text


def elsewhere(reader, url: str):
    return type(reader)(type(reader.config)(**{**vars(reader.config), "path": url}))


def test_files_of_an_object_store(table, tmp_path):
    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe_file(f"/bucket/logs/day=1/{name}.csv", text([(name, 1, 5)]).encode())
    frame(ROWS).write_parquet(tmp_path / "log.parquet")
    memory.put_file(str(tmp_path / "log.parquet"), "/bucket/log.parquet")
    try:
        for url in ("memory://bucket/logs", "memory://bucket/logs/*/*.csv"):
            reader = elsewhere(table(CSV), url)
            assert read(reader).interactions["user_id"].to_list() == ["a", "b"]
            names = [part["name"] for part in reader.source_key()["path"]]
            assert names == ["day=1/a.csv", "day=1/b.csv"]
        one = elsewhere(table(CSV), "memory://bucket/log.parquet")
        assert one.source_key() == table(tmp_path / "log.parquet").source_key()
        assert read(one).interactions.rows() == ROWS
        memory.pipe_file("/bucket/log.parquet", b"other")
        fails(one, "changed while it was read")
        fails(elsewhere(table(CSV), "memory://bucket/none.csv"), "none.csv: no such file")
        fails(elsewhere(table(CSV), "memory://bucket/x*"), "x\\*: matches no table")
    finally:
        memory.rm("/bucket", recursive=True)


def test_schemes_without_their_package_or_unknown(table):
    for package, url in (
        ("s3fs", "s3://b/x.csv"),
        ("gcsfs", "gs://b/x.csv"),
        ("adlfs", "az://b/x"),
    ):
        if importlib.util.find_spec(package) is None:
            fails(elsewhere(table(CSV), url), f"{url}: .*:// needs the package {package}: pip inst")
    fails(elsewhere(table(CSV), "s4://b/x.csv"), r"unknown scheme 's4://'")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder; a file named short ends before its announced size."""

    def log_message(self, *words):
        pass

    def copyfile(self, source, outputfile):
        data = source.read()
        outputfile.write(data[: len(data) // 2] if "short" in self.path else data)


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    with socketserver.ThreadingTCPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    ) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_files_of_the_web(table, site):
    folder, address = site
    store({"log.csv.gz": gzip.compress(CSV.encode()), "short.csv": CSV * 1000}, folder)
    reader = elsewhere(table(CSV), f"{address}/log.csv.gz")
    assert reader.source_key()["path"]["name"] == "log.csv.gz"
    assert read(reader).interactions.rows() == ROWS
    fails(elsewhere(table(CSV), f"{address}/short.csv"), r"short.csv: cannot be read \(.*Check the")
    fails(elsewhere(table(CSV), f"{address}/none.csv"), r"none.csv: no such file")
    fails(
        elsewhere(table(CSV), "http://127.0.0.1:9/x.csv"),
        r"127.0.0.1:9/x.csv: cannot be read \(.*Check the addr",
    )
