"""``recsys-lab prepare``: what it warns of, and what it leaves when it is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from recsys_lab.cli.main import run_command


@pytest.mark.usefixtures("quick_start")
def test_a_stopped_preparation_leaves_nothing(tmp_path):
    many = ["data=synthetic_shop", "data.num_users=1000000"]
    root = tmp_path / "prepared"
    with subprocess.Popen(
        [sys.executable, "-m", "recsys_lab", "prepare", *many],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 300
            while not list(root.glob(".*/work")):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "stopped; the unfinished dataset was removed" in said
    assert "Traceback" not in said
    assert list(root.iterdir()) == []


def test_every_warning_is_shown_once_in_each_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{user},{item},{7 * user + item}\n" for user in range(3) for item in range(5)]
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + "".join(rows))
    command = ["prepare", "data=table", "data.path=log.csv"]
    for said in ("err", "out"):  # the second command reuses the dataset: its card tells them
        assert run_command(command) == 0
        shown = capsys.readouterr()
        words = {"err": shown.err, "out": shown.out}
        assert " ".join(words.pop(said).split()).count("events lie before 1990") == 1
        assert "before 1990" not in "".join(words.values())
