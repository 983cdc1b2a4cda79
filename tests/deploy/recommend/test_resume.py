"""After any kill the same command goes on; the rows are those of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_lab.deploy.recommend import job
from recsys_lab.deploy.recommend.folder import OutputFolder
from recsys_lab.deploy.recommend.progress import JobProgress
from recsys_lab.deploy.recommend.shards import ShardWriter
from recsys_lab.files.locks import hold
from tests.cli.flow import USERS, until
from tests.deploy.recommend.conftest import rows_of
from tests.deploy.recommend.made_plan import work

PARTS = ["k=3", "shard_users=1"]  # four parts


class Crash(Exception):
    """Ends a job in the middle."""


@pytest.fixture
def undisturbed(recommend):
    return recommend("sasrec", *PARTS, output="undisturbed").rows


@pytest.fixture
def written(monkeypatch):
    """The parts that are written, by number."""
    parts = []
    inner = job.write_part

    def write_part(plan, part, file, tell):
        parts.append(part)
        return inner(plan, part, file, tell)

    monkeypatch.setattr(job, "write_part", write_part)
    return parts


def test_a_crash_between_two_parts(recommend, undisturbed, written, monkeypatch):
    inner = OutputFolder.note

    def crash(self, part, counts):
        if part == 2:
            raise Crash
        inner(self, part, counts)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "note", crash)
        assert recommend("sasrec", *PARTS).code == 1
    names = {file.name for file in Path("lists").iterdir()}
    assert names == {"part-00000.parquet", "part-00001.parquet", ".work"}
    assert recommend("sasrec", *PARTS).rows.equals(undisturbed)
    assert written == [0, 1, 2, 2, 3]
    assert not Path("lists/.work").exists()


def test_a_crash_in_the_middle_of_a_part(recommend, undisturbed, written, monkeypatch):
    inner, calls = ShardWriter.write, []

    def crash(self, frame):
        calls.append(frame)
        if len(calls) == 2:
            raise Crash
        inner(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "write", crash)
        assert recommend("sasrec", *PARTS).code == 1
    # What a process killed there would leave, too: its half of a file, and counts without a file.
    Path("lists/.part-00001.parquet.99999999.tmp").write_bytes(b"PAR1 half")
    Path("lists/.work/part-00003.json").write_text('{"users": 12, "bytes": 5}')
    made = recommend("sasrec", *PARTS)
    assert made.rows.equals(undisturbed)
    assert written == [0, 1, 1, 2, 3]
    assert not list(Path("lists").glob(".part*"))
    assert sum(part["users"] for part in made.manifest["parts"]) == USERS


def test_killed_by_the_system_in_the_middle_of_a_part(tmp_path):
    work(str(tmp_path / "whole"))
    program = (
        "from tests.deploy.recommend.made_plan import work;"
        f"work({str(tmp_path / 'killed')!r}, stops_in=2)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout.readline() == b"now\n"
        os.kill(process.pid, signal.SIGKILL)
    assert list((tmp_path / "killed").glob(".part-00002.parquet.*.tmp"))
    assert len(list((tmp_path / "killed").glob("part-*.parquet"))) == 2
    assert work(str(tmp_path / "killed")) == [2, 3]
    assert rows_of(tmp_path / "killed").equals(rows_of(tmp_path / "whole"))
    assert not list((tmp_path / "killed").glob(".*"))


def test_a_finished_job_is_left_alone(recommend, written):
    first = recommend("sasrec", *PARTS)
    stamps = {file: file.stat().st_mtime_ns for file in Path("lists").iterdir()}
    again = recommend("sasrec", *PARTS)
    assert again.rows.equals(first.rows)
    assert written == [0, 1, 2, 3]
    assert stamps == {file: file.stat().st_mtime_ns for file in Path("lists").iterdir()}
    assert "manifest.json, which was complete" in again.out


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"short")])
def test_a_part_that_is_gone_or_cut_is_made_again(recommend, written, damage):
    first = recommend("sasrec", *PARTS)
    damage(Path("lists/part-00002.parquet"))
    again = recommend("sasrec", *PARTS)
    assert again.rows.equals(first.rows)
    assert written == [0, 1, 2, 3, 2]
    assert again.manifest["parts"] == first.manifest["parts"]


def test_other_settings_are_refused(recommend):
    recommend("sasrec", *PARTS)
    for options, what in [
        (["k=4", "shard_users=1"], "k was 3 and is 4"),
        (["k=3"], "shard_users was 16 and is 50000"),
        ([*PARTS, "format=csv"], "format was 'parquet' and is 'csv'"),
    ]:
        made = recommend("sasrec", *options)
        assert made.code == 2
        assert f"output=lists: has lists of other settings: {what}" in made.err
        assert "choose another output, or delete this folder" in made.err
    assert "weights_sha256 was" in recommend("popularity", *PARTS).err


def test_settings_of_a_job_that_was_not_finished_count(recommend, monkeypatch):
    def crash(*_):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(job, "write_part", crash)
        assert recommend("sasrec", *PARTS).code == 1
    assert "k was 3 and is 5" in recommend("sasrec", "k=5", "shard_users=1").err
    assert recommend("sasrec", *PARTS).code == 0


def test_a_folder_of_something_else_is_left_alone(recommend):
    Path("lists").mkdir()
    Path("lists/thesis.tex").write_text("years of work")
    made = recommend("sasrec")
    assert made.code == 2
    assert "output=lists: the folder is not empty (thesis.tex)" in made.err
    assert "delete" not in made.err
    assert [path.name for path in Path("lists").iterdir()] == ["thesis.tex"]
    Path("lists/manifest.json").write_text('{"run": "an export"}')
    assert "the folder is not empty (manifest.json)" in recommend("sasrec").err


def test_processes_share_the_parts(recommend, undisturbed, written, monkeypatch):
    written.clear()  # the undisturbed ones
    monkeypatch.setattr(job, "_WAIT", 0.01)
    held = hold(Path("lists/.work/part-00001.lock"), wait=False)
    held.__enter__()  # by another process, which dies later
    inner = time.sleep

    def sleep(seconds):
        if seconds == job._WAIT and written == [0, 2, 3]:
            held.__exit__(None, None, None)
        inner(seconds)

    monkeypatch.setattr(job.time, "sleep", sleep)
    assert recommend("sasrec", *PARTS).rows.equals(undisturbed)
    assert written == [0, 2, 3, 1]


def test_ranks_start_at_different_parts(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    firsts = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        parts = job._in_turn([*range(9)])
        assert sorted(parts) == [*range(9)]
        firsts.append(parts[0])
    assert firsts == [0, 3, 6]


def test_a_process_that_comes_late_does_nothing_twice(tmp_path):
    # It looked for parts before another process finished the job and removed its working files.
    first, late = (OutputFolder(tmp_path, "csv", [2]) for _ in range(2))
    first.open({"k": 1})
    assert late.left() == [0]
    (tmp_path / "part-00000.csv").write_text("1234")
    first.note(0, {"users": 2, "bytes": 4})
    assert first.finish({"counts": {}, "settings": {"k": 1}})
    assert late.left() == []
    assert not late.finish({"counts": {}})


def test_progress_with_its_end_in_a_file(tmp_path):
    progress = JobProgress(tmp_path / "progress.json", 1000, 100, None)
    progress._done = 300
    state = progress.state(10.0)
    assert state["users_per_second"] == 20.0
    assert state["seconds_left"] == 35
    progress._stored -= 10
    progress.set_done(400)
    stored = json.loads((tmp_path / "progress.json").read_text())
    assert (stored["done"], stored["users"]) == (400, 1000)
    assert stored["end"] >= stored["updated"]


def test_rows_are_in_one_order_whatever_the_process(recommend, undisturbed, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert recommend("sasrec", *PARTS, output="other").rows.equals(undisturbed)
    assert rows_of("other").equals(undisturbed)
    until(lambda: not Path("other/.work").exists())
