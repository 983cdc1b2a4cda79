"""What the dashboard answers, to whom, and what it never tells."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import psutil
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.dashboard.comparing import Comparer, Outcome
from recsys_lab.dashboard.index import id_of
from recsys_lab.dashboard.server import Dashboard, url_of
from tests.comparison.made_runs import config
from tests.dashboard.made import HOSTILE, TOKEN, write_record


def ask(dashboard, path, method="GET", **headers):
    """Status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=given)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


class TestWhoIsAnswered:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "[::1]:80", "10.1.2.3"]
    )
    def test_numbers_and_this_machine(self, served, host):
        assert ask(served, "/", Host=host)[0] == 200

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.1.x:80", ""])
    def test_no_name_of_another_site_that_leads_here(self, served, host):
        status, _, text = ask(served, "/view", Host=host)
        assert status == 403
        assert "host=NAME" in text
        assert "runs" not in text.replace("Back to the runs", "")

    def test_no_other_sites_page(self, served):
        assert ask(served, "/view", Sec_Fetch_Site="cross-site")[0] == 403
        assert ask(served, "/compare?run=x", Sec_Fetch_Site="cross-site")[0] == 403
        assert (
            ask(served, "/?where=seed%3D1", Sec_Fetch_Site="cross-site")[0] == 200
        )  # a link to it
        assert ask(served, "/view", Sec_Fetch_Site="same-origin")[0] == 200


class TestWhatIsAnswered:
    @pytest.mark.parametrize(
        "path",
        [
            "/run.json", "/compared/pop/run.json", "/../runs/compared/pop/run.json",
            "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.css/../server.py", "/server.py",
            "/report?of=../../etc", "/report?of=sweep", "/card?run=../compared/pop", "/card",
            "/card?run=compared%2Fpop", "/report", "/compare", "/compare?run=nothing", "/\0",
        ],
    )  # fmt: skip
    def test_nothing_by_a_path(self, served, path):
        status, _, text = ask(served, path.replace("\0", "%00"))
        assert status == 404
        assert "schema_version" not in text
        assert "root:" not in text

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_nothing_can_be_changed(self, served, method):
        assert ask(served, "/", method)[0] == 501

    def test_a_head_has_no_body(self, served):
        status, headers, text = ask(served, "/", "HEAD")
        assert (status, text) == (200, "")
        assert int(headers["Content-Length"]) > 1000

    def test_an_equal_answer_is_not_sent_again(self, served):
        _, headers, _ = ask(served, "/view?where=search")
        assert ask(served, "/view?where=search", If_None_Match=headers["ETag"])[::2] == (304, "")

    def test_pages_may_load_from_here_alone_and_documents_run_nothing(self, served, folder):
        card = f"/card?run={id_of(folder / 'compared/pop', folder)}"
        report = f"/report?of={id_of(folder / 'sweep', folder)}"
        for path in ("/", card, report):
            status, headers, text = ask(served, path)
            assert status == 200
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none';")
            assert "http" not in policy
            assert ("sandbox" in policy and "script-src" not in policy) == (path != "/")
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
            assert headers["X-Content-Type-Options"] == "nosniff"
        assert "the sweep" in text

    def test_hostile_text_is_text_and_secrets_are_nowhere(self, served):
        for query in (
            "",
            f"?where={quote(HOSTILE)}",
            f"?group={quote(HOSTILE)}&curve={quote(HOSTILE)}",
        ):
            _, _, page = ask(served, f"/{query}")
            _, _, parts = ask(served, f"/view{query}")
            for text in (page, "".join(json.loads(parts).values())):
                assert "<script>alert" not in text
                assert TOKEN not in text
        added = "add=notes&add=tags&add=model.odd&add=failure"
        _, _, page = ask(served, f"/?where=live&{added}&group=tags")
        assert "&lt;script&gt;alert" in page
        assert "password=***" in page
        assert TOKEN not in page

    def test_every_card_ends_well(self, served):
        _, _, page = ask(served, "/")
        runs = sorted(set(re.findall(r'card\?run=(\w+)"', page)))
        assert len(runs) == 33
        for run in runs:
            status, _, text = ask(served, f"/card?run={run}")
            assert status in (200, 404)
            assert "Traceback" not in text
            assert TOKEN not in text
            assert "<script>alert" not in text
            assert ("Model card" in text) == (status == 200)

    @pytest.mark.parametrize("query", ["rows=x", "rows=0", "rows=99999999999", "sort=no", "sort=-"])
    def test_a_wrong_query_ends_well(self, served, query):
        assert ask(served, f"/view?{query}")[0] == 200

    def test_a_query_that_is_too_long(self, served):
        assert ask(served, f"/?{'&'.join(f'run={n}' for n in range(500))}")[0] == 400


def test_the_folder_may_be_empty_and_may_vanish(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    dashboard = Dashboard(folder, "127.0.0.1", 0, 1)
    thread = threading.Thread(target=dashboard.run, daemon=True)
    thread.start()
    try:
        assert "no runs yet" in ask(dashboard, "/")[2]
        write_record(folder / "a", config())
        assert "1 run\n" in ask(dashboard, "/")[2]
        (folder / "a/run.json").unlink()
        (folder / "a").rmdir()
        folder.rmdir()
        status, _, text = ask(dashboard, "/")
        assert status == 200
        assert "cannot be read (No such file or directory)" in text
    finally:
        dashboard.stop()
        thread.join(30)


@pytest.mark.parametrize(
    ("folder", "said"), [("nothing", "there is no such folder"), ("file", "is a file")]
)
def test_there_must_be_a_folder(tmp_path, folder, said):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=said):
        Dashboard(tmp_path / folder, "127.0.0.1", 0, 1)


@pytest.fixture
def verb(five_hundred):
    """The verb in a process of its own, for 500 runs, and the line that it prints."""
    command = [sys.executable, "-m", "recsys_lab", "dashboard", str(five_hundred), "port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_verb_prints_its_address_needs_little_memory_and_ends_with_ctrl_c(
    verb, five_hundred, capsys
):
    (process, line), folder = verb, five_hundred
    before = sorted(folder.rglob("*"))
    port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/  \(.*; Ctrl-C ends it\)\n", line)[1])
    server = SimpleNamespace(port=port)
    while "Reading" in ask(server, "/view")[2]:
        pass
    listed = json.loads(ask(server, "/view?group=model.num_layers")[2])["runs"]
    assert listed.count("<tr data-key") == 500
    assert psutil.Process(process.pid).memory_info().rss < 500 * 2**20
    assert run_command(["dashboard", str(folder), f"port={port}"]) == 2
    said = capsys.readouterr().err
    assert f"port={port}: cannot be served there (Address already in use)" in said
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stderr.read() == "\nstopped\n"
    assert sorted(folder.rglob("*")) == before  # nothing is written


def test_a_comparison_that_is_not_needed_any_more_is_ended(monkeypatch):
    waits = "import time; print('begun', flush=True); time.sleep(600)"
    real = subprocess.Popen
    started = []

    def waiting(arguments, **options):
        started.append(real([arguments[0], "-c", waits], **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", waiting)
    comparer = Comparer()
    assert isinstance(comparer.ask("key", [Path("a")], force=False), float)
    while not started:
        time.sleep(0.01)
    comparer.close()
    assert started[0].wait(10) == -signal.SIGKILL


@pytest.mark.usefixtures("quick_start")
def test_a_failing_comparison_says_why(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    comparer = Comparer()
    try:
        while not isinstance(done := comparer.ask(1, [tmp_path / "a b"], force=True), Outcome):
            time.sleep(0.05)
    finally:
        comparer.close()
    assert done.failed
    assert done.report == ""
    assert done.text.startswith(f"runs: {tmp_path / 'a b'}: there is no such folder")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]"), ("box", "box")],
)
def test_the_address_that_is_printed(host, url):
    assert url_of(host, 80) == f"http://{url}:80/"
