"""Preparing that fails, is killed or is done by several at once; damaged datasets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recsys_lab.config import UserError
from recsys_lab.data import prepare as pipeline
from recsys_lab.data.preparation.manifest import SCHEMA_VERSION
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.files.locks import hold
from tests.data.conftest import LOG, ROOT, Given


@pytest.mark.parametrize("damage", ["manifest", "array", "gone", "version"])
def test_damaged_folder_is_refused_and_prepared_again(table, run, caplog, damage):
    first = run(table(LOG))
    manifest = first.path / "manifest.json"
    if damage == "manifest":
        manifest.write_text("{")
    elif damage == "array":
        (first.path / "items.npy").write_bytes(b"short")
    elif damage == "gone":
        (first.path / "offsets.npy").unlink()
    else:
        manifest.write_text(
            manifest.read_text().replace(
                f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 0'
            )
        )
    with pytest.raises(UserError, match=r"is not a usable prepared dataset.*delete that folder"):
        PreparedDataset(first.path)
    again = run(table(LOG))
    assert "again" in caplog.text
    assert again.items.tolist() == [1, 2, 3, 0, 2, 1, 3, 3]
    assert [p.name for p in again.path.parent.iterdir()] == [again.path.name]


def flip(file: Path, place: int) -> None:
    """Change one bit in the middle of a byte; the length stays."""
    content = bytearray(file.read_bytes())
    content[place] ^= 0x04
    file.write_bytes(content)


def test_every_byte_of_every_file_counts(table, run, caplog):
    first = run(table(LOG))
    files = sorted(path for path in first.path.rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".npy", ".parquet", ".json", ".html"}
    for file in files:
        for place in (0, file.stat().st_size // 2, -1):
            if file.name == "manifest.json" and place == -1:
                continue  # the end of the last line means nothing
            before = file.read_bytes()
            flip(file, place)
            with pytest.raises(UserError, match=re.escape(str(file))):
                PreparedDataset(first.path)
            if file.name == "items.npy" and place == -1:  # the last event
                assert PreparedDataset(first.path, "sizes").items[-1] != 3
            file.write_bytes(before)
    PreparedDataset(first.path)
    flip(first.path / "items.npy", -1)
    again = run(table(LOG))
    assert f"Preparing {first.path} again: {first.path / 'items.npy'} is damaged" in caplog.text
    assert again.items.tolist() == [1, 2, 3, 0, 2, 1, 3, 3]


def test_a_digit_of_the_manifest_counts(table, run):
    data = run(table(LOG))
    file = data.path / "manifest.json"
    text = file.read_text()
    changed = text.replace('"num_items": 4', '"num_items": 5')
    assert changed != text
    file.write_text(changed)
    for verify in ("full", "sizes"):
        with pytest.raises(UserError, match=r"manifest.json is damaged: .* its own 'digest'"):
            PreparedDataset(data.path, verify)


def test_all_is_on_the_disk_before_the_folder_has_its_name(table, run, monkeypatch):
    done = []
    for name in ("sync", "sync_tree"):
        monkeypatch.setattr(pipeline, name, lambda path, name=name: done.append((name, path)))
    monkeypatch.setattr(
        Path, "rename",
        lambda self, to: (done.append(("rename", self)), os.rename(self, to))[1],
    )  # fmt: skip
    data = run(table(LOG))
    scratch = done[0][1]
    assert scratch.parent.name.startswith(f".{data.path.name}-")
    assert done == [("sync_tree", scratch), ("rename", scratch), ("sync", data.path.parent)]


def test_failure_leaves_nothing_behind(table, run, tmp_path):
    with pytest.raises(UserError):
        run(table("user_id,item_id,timestamp\nu,a,1\n"))

    class Interrupted(Given):
        def read_raw(self, scratch):
            (scratch / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(interactions=[]))
    assert list((tmp_path / "prepared").iterdir()) == []


@pytest.mark.parametrize("exists", [False, True], ids=["made anew", "already there"])
def test_remains_of_killed_processes_are_swept_and_those_of_others_stay(table, run, exists):
    data = run(table(LOG))
    killed, alive = (data.path.with_name(f".{data.path.name}-{who}") for who in ("dead", "alive"))
    for scratch in (killed, alive):
        (scratch / "made").mkdir(parents=True)
    if not exists:
        shutil.rmtree(data.path)
    with hold(alive / ".lock", wait=False):
        run(table(LOG))
    assert {p.name for p in data.path.parent.iterdir()} == {data.path.name, alive.name}


RACER = """
import json, sys, time
from pathlib import Path
from recsys_lab.data.preparation import row_filters as filters
from recsys_lab.data import prepare as pipeline
from recsys_lab.data.sources import table
from recsys_lab.data.engines.polars import Polars
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
path, root, options = sys.argv[1:]
options = {**json.loads(options), "path": path}
class Slow(table.Table):
    def read_raw(self, scratch):
        Path(path + "." + str(__import__("os").getpid())).touch()
        while len(list(Path(path).parent.glob("log.csv.*"))) < 3:
            time.sleep(0.01)  # until all have found that nothing is prepared yet
        return super().read_raw(scratch)
all_events = filters.Filters(
    filters.Filters.Config(None, None, None, None, True, False, 0, 0, 0, True)
)
one = LeaveOneOut(LeaveOneOut.Config("keep"))
parts = pipeline.Preparation(all_events, one, Polars(Polars.Config()))
data = pipeline.prepare(Slow(table.Table.Config(**options)), parts, Path(root), "log")
print(data.path.name, data.items.tolist())
"""


def test_three_processes_prepare_at_once(tmp_path):
    log, root = tmp_path / "log.csv", tmp_path / "prepared"
    log.write_text(LOG)
    options = yaml.safe_load((ROOT / "configs/data/table.yaml").read_text())
    options.pop("_target_")
    command = [sys.executable, "-c", RACER, str(log), str(root), json.dumps(options)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {racer.communicate(timeout=300)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert len(said) == 1
    assert [folder.name for folder in root.iterdir()] == [said.pop().split()[0]]
