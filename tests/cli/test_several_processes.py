"""``evaluate`` under torchrun's environment: one result, whatever the number of processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import in_shop, record, train

PEOPLE = 700  # three batches, the last one smaller


@pytest.fixture(scope="module", autouse=True)
def shop(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, in_shop(tmp_path_factory.mktemp("p"), patch):
        rng = np.random.default_rng(4)
        rows = [
            (f"u{user}", f"i{item}", 1000 * place + user)
            for user in range(PEOPLE)
            for place, item in enumerate(rng.choice(25, int(rng.integers(4, 10)), False))
        ]
        frame = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
        frame.write_csv("log.csv")
        beyond = "evaluation.beyond_accuracy=[coverage,novelty,popularity_lift,serendipity]"
        assert train("run_dir=run", "recipe.max_epochs=1", "recipe.batch_size=128", beyond) == 0
        yield


def together(world: int, *arguments: str) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each of the processes that torchrun would start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "recsys_lab", *arguments],
            env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    said = [process.communicate(timeout=300) for process in started]
    return [(p.returncode, out, err) for p, (out, err) in zip(started, said, strict=True)]


@pytest.mark.usefixtures("quick_start")
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_rows_and_numbers_are_those_of_one_process(world):
    first, *others = together(world, "evaluate", "run", f"output=again{world}")
    assert first[0] == 0, first[2]
    assert "equal to the run record" in first[1]
    assert [(code, out) for code, out, _ in others] == [(0, "")] * (world - 1)
    for name in ("test_users", "slices"):
        again = Path(f"again{world}/{name}.parquet").read_bytes()
        assert again == Path(f"run/{name}.parquet").read_bytes()
    rows = pl.read_parquet(f"again{world}/test_users.parquet")
    assert rows["user"].to_list() == list(range(PEOPLE))
    assert rows["ndcg@10"].mean() == pytest.approx(record("run")["test"]["ndcg@10"], abs=1e-12)


def test_a_part_of_the_users_is_each_process_s_own(monkeypatch):
    """Alone with a part, as a rank would be that nobody joined."""
    from recsys_lab.experiment import components as assemble
    from recsys_lab.experiment.restore import restore
    from recsys_lab.runs.record import RunRecord

    parts = restore(RunRecord.load(Path("run")))
    found = []
    for rank in range(2):
        monkeypatch.setattr(assemble, "shard", lambda rank=rank: (rank, 2))
        found.append({int(u) for b in parts.batches("test") for u in b.history.users_B})
    assert not found[0] & found[1]
    assert len(found[0]) > len(found[1]) > 0
    assert found[0] | found[1] == set(range(PEOPLE))


def test_what_several_processes_cannot_do_is_told(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_command(["retrain", "run", "run_dir=other"]) == 2
    said = capsys.readouterr().err
    assert "retrain: got 2 processes (WORLD_SIZE=2), expected one" in said
    assert "recsys-lab sweep uses all GPUs" in said
    assert not Path("other").exists()
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert run_command(["evaluate", "run"]) == 2
    said = capsys.readouterr().err
    assert "RANK expected" in said
    assert "start the processes with torchrun --nproc-per-node 2 -m recsys_lab evaluate" in said
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert run_command(["evaluate", "run"]) == 2
    assert "WORLD_SIZE: got 'two', expected a number of processes" in capsys.readouterr().err
