"""Which processes train a run: the shares of a batch, SLURM's tasks, and refusals."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.contracts import processes
from recsys_lab.contracts.processes import Share, common_draws, own_draws
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.experiment.several.plan import adopt_slurm, processes_to_start
from recsys_lab.training import several
from tests.training.test_resume import USERS, FakeData

TASK = {
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "2",
}  # fmt: skip
OURS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR",
        "MASTER_PORT")  # fmt: skip


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 11])
def test_shares_are_the_rows_of_a_batch_in_order(rows, world):
    lengths_B = np.arange(2, rows + 2)
    shares = [Share.of(lengths_B, rank, world) for rank in range(world)]
    own = [share for share in shares if not share.is_lent]
    read = [row for share in own for row in range(*share.rows)]
    assert read == list(range(rows))
    assert [e for share in own for e in range(*share.events)] == list(range(lengths_B.sum()))
    assert len(own) == min(rows, world)
    assert all(share.rows[0] < share.rows[1] for share in shares)


@pytest.mark.parametrize("world", [2, 4, 9])
def test_every_process_validates_and_all_users_are_ranked(world):
    """With more processes than batches, too: Lightning skips a validation without batches."""
    found = []
    for rank in range(world):
        part = EvaluationBatches(
            FakeData(), "validation", batch_size=10, window=8, exclude_seen=True,
            shard=(rank, world),
        )  # fmt: skip
        assert len(part) > 0
        found += [int(user) for batch in part for user in batch.history.users_B]
    assert set(found) == set(range(USERS))


def drawn(rank, monkeypatch, step=3):
    """What a process of two draws in a step: before, common, its own, common, and afterwards."""
    monkeypatch.setattr(processes, "shard", lambda: (rank, 2))
    torch.manual_seed(3)
    numbers = [torch.rand(4)]
    with own_draws(7, 0, step):
        with common_draws():
            numbers.append(torch.rand(4))
        numbers.append(torch.rand(2 + rank))
        with common_draws():
            numbers.append(torch.rand(4))
    return [*numbers, torch.rand(4)]


def test_masks_and_negatives_are_drawn_alike_and_dropout_is_not(monkeypatch):
    first, second, again = (drawn(rank, monkeypatch) for rank in (0, 1, 1))
    torch.manual_seed(3)
    of_one_process = torch.rand(4, 4)
    for numbers in (first, second):
        assert torch.equal(torch.stack([*numbers[:2], *numbers[3:]]), of_one_process)
    assert not torch.isin(first[2], second[2]).any()
    assert not torch.isin(first[2], drawn(0, monkeypatch, step=4)[2]).any()
    assert all(map(torch.equal, second, again))


@pytest.mark.parametrize("counts", [(0, 3), (2, 0), (0, 0), (2, 3)])
def test_a_process_without_targets_takes_part_with_weight_zero(counts, monkeypatch):
    """Else the others would wait for its negatives and gradients."""
    states_ND, targets_N = torch.ones(4, 2), torch.arange(10, 14)
    share = Share((0, 1), (0, 5), 2, 10)
    batch = SimpleNamespace(share=share)
    own = counts[0]
    monkeypatch.setattr(several, "exchanged", lambda count: [(count,), (counts[1],)])
    monkeypatch.setattr(several, "joined", lambda own_N, counts: (own_N[: counts[0]], counts))
    keep_N = torch.arange(own)
    positions, states, targets = several.Positions.of(batch, states_ND, targets_N, keep_N)
    total = sum(counts)
    assert (positions.own, positions.total, positions.weight) == (own, total, 2 * own)
    assert len(states) == len(targets) == (max(1, own) if total else 0)
    assert positions.targets_M[0].tolist() == targets_N[:own].tolist()
    assert positions.rows == (slice(0, own) if own else slice(0, 1))


def test_one_process_draws_as_ever():
    torch.manual_seed(3)
    plain = torch.rand(4)
    torch.manual_seed(3)
    with own_draws(1, 2, 3), common_draws():
        assert torch.equal(torch.rand(4), plain)


@pytest.fixture
def slurm(monkeypatch):
    for name in OURS:
        monkeypatch.setenv(name, "")  # restored after the test
        monkeypatch.delenv(name)
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)


def config(devices, **recipe):
    values = {"devices": devices, "batch_size": 8, "accelerator": "cpu", **recipe}
    return OmegaConf.create({"recipe": values})


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[03-04]", "gpu03"), ("a1,b2", "a1"), ("a1,b[2-3]", "a1"), ("n[5,7].x,m1", "n5.x")],
)
def test_tasks_of_slurm_meet_at_the_first_machine(nodes, first, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NODELIST", nodes)
    adopt_slurm(config("auto"))
    found = {name: os.environ[name] for name in OURS}
    assert found.pop("MASTER_ADDR") == first
    assert found == {
        "WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
        "GROUP_RANK": "1", "MASTER_PORT": "22389",
    }  # fmt: skip


@pytest.mark.usefixtures("slurm")
def test_tasks_of_slurm_are_runs_of_their_own_unless_asked():
    adopt_slurm(config(1))
    assert "WORLD_SIZE" not in os.environ
    assert processes_to_start(config(1)) == 1


def test_a_sweep_trains_each_run_in_one_process(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space = "search.params.recipe.learning_rate=choice(0.1,0.2)"
    assert run_command(["sweep", "recipe.devices=2", space]) == 2
    said = capsys.readouterr().err
    assert "recipe.devices: got 2, but sweep trains each run in one process; use" in said
