"""What ``recsys-lab prepare`` leaves when it is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest


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
