"""Mistakes in the options of the server are told before it starts."""

from __future__ import annotations

import json
import socket
import sys

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, install_hint
from recsys_lab.deploy.serve.server import Server, read_token
from tests.deploy.serve.conftest import options
from tests.deploy.serve.test_follow import write_champion

HISTORIES = [["i3", "i1", "i20"], ["i7"], ["nope", "i2", "gone"], [], ["nope"]]


class TestMistakes:
    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"source": "absent"}, "absent: there is no such folder; give a run, an export or a"),
            ({"source": "."}, "not a run (run.json), an export (model.onnx) or a registry"),
            ({"k": 200}, "k=200 is above max_k=100, so it could never be served"),
            ({"max_queue": 10}, "max_lists=256 is above max_queue=10"),
            ({"host": "no.such.host.invalid"}, "host=no.such.host.invalid port=0: cannot be"),
            ({"token_env": "NO_SUCH"}, "token_env=NO_SUCH: there is no such environment variable"),
            ({"token_env": "A", "token_file": "b"}, "both set; give one of them"),
            ({"backend": "export"}, "is a run; export it and serve the export: recsys-lab export"),
        ],
    )
    def test_they_are_told_before_work_starts(self, served_runs, more, words, monkeypatch):
        monkeypatch.chdir(served_runs)
        with pytest.raises(UserError) as told:
            Server(options(**{"source": "popularity", **more}))
        assert words in str(told.value)

    def test_a_port_in_use_is_told(self, served_runs):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(UserError, match=f"port={port}: cannot be served there .Address al"):
                Server(options(served_runs / "popularity", port=port))

    def test_an_unfinished_run_and_an_empty_registry_are_told(self, served_runs, tmp_path):
        record = json.loads((served_runs / "popularity" / "run.json").read_text())
        (tmp_path / "run.json").write_text(
            json.dumps({**record, "status": "failed", "digest": None})
        )
        with pytest.raises(UserError, match="status is 'failed', so it has no model to serve"):
            Server(options(tmp_path))
        (tmp_path / "registry.json").write_text('{"schema": 1, "champion": null}')
        with pytest.raises(UserError, match="has no champion yet; promote a run first"):
            Server(options(tmp_path))
        write_champion(tmp_path, 1, str(served_runs / "popularity"))
        with pytest.raises(UserError, match=r"champion version 1 .* has no export"):
            Server(options(tmp_path, backend="export"))

    def test_a_missing_package_is_told(self, served_runs, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        monkeypatch.delitem(sys.modules, "recsys_lab.deploy.serve.server")
        assert run_command(["serve", str(served_runs / "popularity")]) == 2
        assert f"serve needs uvicorn: {install_hint('serve')}" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["", "two words", "café", "a\nb"])
    def test_a_token_is_checked_without_being_shown(self, tmp_path, text):
        file = tmp_path / "token"
        file.write_text(text)
        with pytest.raises(UserError, match="not a token; expected printable ASCII") as told:
            read_token(None, str(file))
        assert not text or text not in str(told.value).replace(str(file), "")

    def test_a_token_is_read_from_a_file_or_the_environment(self, tmp_path, monkeypatch):
        file = tmp_path / "token"
        file.write_text("abc\n")
        assert read_token(None, str(file)) == "abc"
        monkeypatch.setenv("SHOP", "def")
        assert read_token("SHOP", None) == "def"
        assert read_token(None, None) is None
        with pytest.raises(UserError, match="is missing; write the token to it"):
            read_token(None, str(tmp_path / "none"))
