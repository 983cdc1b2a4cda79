"""The run record on disk: whole at every moment, and clear about what it cannot read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.runs import provenance
from recsys_lab.runs.memory import forget_peak_memory, peak_memory_mebibytes
from recsys_lab.runs.record import RunRecord, finish_time, only_process, write_text

REPOSITORY = Path(__file__).parents[2]
COMMIT = "c0ffee1" * 5 + "12345"


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path / "run", name="mine", config={"seed": 5, "model": {"d": 8}})


def on_disk(record: RunRecord) -> dict:
    return json.loads((record.folder / "run.json").read_text())


def test_a_new_record_is_on_disk_at_once(record):
    values = on_disk(record)
    assert values["status"] == "running"
    assert (values["name"], values["seed"], values["config"]) == (
        "mine", 5, {"seed": 5, "model": {"d": 8}},
    )  # fmt: skip
    assert values["command"] == sys.argv
    assert values["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert not record.done


def test_the_code_is_named_by_its_commit(record):
    done = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    code = on_disk(record)["code"]
    assert code["commit"] == done.stdout.strip()
    assert (record.folder / "code.diff").exists() <= code["dirty"]


def test_outside_of_git_the_commit_is_what_the_image_states(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "code.py"))
    stated = {}
    for text in ("", COMMIT, f"{COMMIT}-dirty"):
        monkeypatch.setenv(provenance.COMMIT, text)
        stated[text], diff = provenance.code_state(tmp_path)
        assert diff == ""
    of_image = {"commit": COMMIT, "untracked": [], "stated_by": "RECSYS_LAB_COMMIT"}
    assert stated == {
        "": {"commit": None, "dirty": None},
        COMMIT: {**of_image, "dirty": False},
        f"{COMMIT}-dirty": {**of_image, "dirty": True},
    }
    monkeypatch.setenv(provenance.COMMIT, "latest")
    with pytest.raises(UserError, match="RECSYS_LAB_COMMIT: got 'latest', expected a commit"):
        RunRecord.create(tmp_path / "run", name="x", config={})
    assert not (tmp_path / "run").exists()


def test_every_update_is_on_disk_and_whole(record):
    record.update(status="finished", test={"ndcg@10": 0.25}, **finish_time())
    assert on_disk(record) == record.values == RunRecord.load(record.folder).values
    assert RunRecord.load(record.folder).done
    assert {p.name for p in record.folder.iterdir()} <= {"run.json", "code.diff"}


def test_a_value_that_cannot_be_stored_leaves_the_old_record(record):
    before = (record.folder / "run.json").read_bytes()
    with pytest.raises(TypeError):
        record.update(test={1, 2})
    assert (record.folder / "run.json").read_bytes() == before


def test_the_peak_begins_anew_where_it_is_forgotten():
    ballast = b"x" * (300 << 20)
    high = peak_memory_mebibytes()
    del ballast
    assert peak_memory_mebibytes() > high - 10  # the kernel counts in batches
    forget_peak_memory()
    assert peak_memory_mebibytes() < high - 200


def test_the_peak_of_a_gpu_in_use_begins_anew_too(monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: done.append(True))
    forget_peak_memory()
    assert done == []
    for question in ("is_available", "is_initialized"):
        monkeypatch.setattr(torch.cuda, question, lambda: True)
    forget_peak_memory()
    assert done == [True]


def test_compute_adds_up_and_the_peak_never_falls(record):
    record.note_compute(2.00049, epochs=[{"epoch": 0}])
    first = on_disk(record)
    assert first["compute"]["seconds"] == 2.0
    assert first["compute"]["peak_memory_mebibytes"] > 10
    assert first["epochs"] == [{"epoch": 0}]
    record.values["compute"]["peak_memory_mebibytes"] = 1e9  # of an earlier process
    record.note_compute(3.0)
    assert on_disk(record)["compute"] == {
        "seconds": 3.0, "prepare_seconds": 0.0, "peak_memory_mebibytes": 1e9,
    }  # fmt: skip


def test_an_epoch_adds_a_line_and_the_end_puts_all_into_the_record(record):
    rows = [{"epoch": number, "train/loss": 1 / (number + 3)} for number in range(40)]
    sizes = []
    for number in range(1, 31):
        record.note_epochs(rows[:number], 1.0)
        sizes.append((record.folder / "run.json").stat().st_size)
        assert RunRecord.load(record.folder).values["epochs"] == rows[:number]
    assert max(sizes) - min(sizes) < 20  # of the memory's digits
    lines = (record.folder / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(30))
    again = RunRecord.load(record.folder)  # resumed from a checkpoint of the 20th epoch
    again.update(status="running")
    again.note_epochs(rows[:21], 2.0)
    assert RunRecord.load(record.folder).values["epochs"] == rows[:21]
    again.end_epochs(rows, best={"epoch": 3})
    assert not (record.folder / "epochs.jsonl").exists()
    assert on_disk(again)["epochs"] == RunRecord.load(record.folder).values["epochs"] == rows
    again.update(status="finished")
    assert on_disk(again)["epochs"] == rows


def test_half_a_line_is_no_epoch_and_a_damaged_one_is_refused(record):
    rows = [{"epoch": number, "train/loss": 0.5} for number in range(3)]
    record.note_epochs(rows, 1.0)
    path = record.folder / "epochs.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert RunRecord.load(record.folder).values["epochs"] == rows[:2]
    path.write_bytes(whole.replace(b"0.5", b"0.7", 1))
    with pytest.raises(UserError, match=r"epochs.jsonl: line 1 is damaged. Remove the file"):
        RunRecord.load(record.folder)
    path.unlink()
    assert RunRecord.load(record.folder).values["epochs"] == []


def test_a_changed_record_is_refused_until_its_digest_is_null(record):
    record.update(test={"ndcg@10": 0.25})
    path = record.folder / "run.json"
    whole = path.read_text()
    path.write_text(whole.replace("0.25", "0.26"))
    with pytest.raises(UserError, match=r'the content does not match .* "digest" to null'):
        RunRecord.load(record.folder)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "digest": None}))
    changed = RunRecord.load(record.folder)
    assert (changed.values["test"], changed.is_verified) == ({"ndcg@10": 0.26}, False)
    del values["digest"]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="does not match"):
        RunRecord.load(record.folder)
    path.write_text(whole)
    assert RunRecord.load(record.folder).is_verified


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not a run (run.json is missing); give the directory of a run"),
        ("{not json", "run.json: not a run record"),
        ("[1, 2]", "run.json: not a run record"),
        (b"\xff\xfe", "run.json: not a run record"),
        ('{"schema_version": 99}', "schema version 99; this version of recsys_lab reads 1"),
        ("{}", "schema version None; this version of recsys_lab reads 1"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refusal:
        RunRecord.load(tmp_path)
    assert message in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_a_file_in_place_of_a_run_is_refused(record):
    with pytest.raises(UserError, match=r"not a run .* give the directory of a run"):
        RunRecord.load(record.folder / "run.json")


def test_write_text_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "long enough to show a rest")
    write_text(path, "short")
    assert path.read_text() == "short"
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_that_fails_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\udc80")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


HOLD = """
import sys
from pathlib import Path
from recsys_lab.runs.record import only_process
with only_process(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_is_the_processes_and_ends_with_it(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(UserError, match="another process works on this run; wait, or choose"),
            only_process(tmp_path),
        ):
            pass
        holder.kill()  # nothing is tidied up
        holder.wait()
        with only_process(tmp_path):
            pass
