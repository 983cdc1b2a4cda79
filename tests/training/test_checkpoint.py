"""Checkpoints that are damaged are refused; best weights are those that the checkpoint names."""

import errno
import resource
import zipfile
from contextlib import contextmanager

import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.files.digests import digest
from recsys_lab.training.checkpoint import CheckpointCallback
from recsys_lab.training.checkpoint_file import SealedCheckpointIO, read_checkpoint
from recsys_lab.training.checkpoint_names import BEST, LAST, NEXT
from tests.training.test_resume import FakeData, last_state, plain_loss, train

CONTENT = {"weights": torch.arange(600.0), "epoch": 3, "history": [{"loss": 0.1}]}


def same(found) -> bool:
    return (
        torch.equal(found["weights"], CONTENT["weights"])
        and {**found, "weights": 0} == {**CONTENT, "weights": 0}
    )  # fmt: skip


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    SealedCheckpointIO().save_checkpoint(CONTENT, path)
    return path


def test_it_is_still_an_archive_that_torch_reads(stored):
    assert same(read_checkpoint(stored))
    assert same(SealedCheckpointIO().load_checkpoint(str(stored)))
    assert same(torch.load(stored, weights_only=True))
    with zipfile.ZipFile(stored) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"recsys_lab sha256 ")


def test_no_bit_gives_another_content(stored):
    whole = stored.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        stored.write_bytes(damaged)
        try:
            found = read_checkpoint(stored)
        except UserError as error:
            refused += str(stored) in str(error)
        else:
            assert same(found)  # a letter of the mark alone
    assert refused >= len(range(0, len(whole), 7)) - 4


@pytest.mark.parametrize("length", [0, 30, 1000, -200])
def test_one_that_is_cut_short_is_refused(stored, length):
    stored.write_bytes(stored.read_bytes()[:length])
    with pytest.raises(UserError, match=r"last.ckpt.* is damaged.* the run then restarts"):
        read_checkpoint(stored)


def test_one_of_an_older_version_is_read(tmp_path):
    torch.save(CONTENT, tmp_path / "last.ckpt")
    assert same(read_checkpoint(tmp_path / "last.ckpt"))


@contextmanager
def files_of_at_most(size: int):
    """As on a full disk: the system refuses to write on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_the_older_one_stays_and_the_system_says_why(stored):
    before = stored.read_bytes()
    larger = {**CONTENT, "weights": torch.zeros(1 << 20)}
    with files_of_at_most(1 << 20), pytest.raises(OSError, match="File too large") as failure:
        SealedCheckpointIO().save_checkpoint(larger, stored)
    assert failure.value.errno == errno.EFBIG
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == ["last.ckpt"]


class Killed(BaseException):
    """As by SIGKILL: nothing of the run's own is done after it."""


def opposite_loss(*arguments):
    """What was learned is unlearned: later epochs are worse, as other hardware might have it."""
    return -20 * plain_loss(*arguments)


@pytest.mark.parametrize("step", ["_judge", "_save", "_place_best"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("loss", [plain_loss, opposite_loss])
def test_killed_anywhere_the_best_weights_are_those_of_the_best_epoch(
    tmp_path, monkeypatch, step, after, loss
):
    """The second epoch is killed before or after a step, and trained again in another way."""
    done = getattr(CheckpointCallback, step)
    calls = []

    def killing(self, *arguments):
        calls.append(step)
        dies = len(calls) == 2
        if dies and not after:
            raise Killed
        done(self, *arguments)
        if dies:
            raise Killed

    monkeypatch.setattr(CheckpointCallback, step, killing)
    with pytest.raises(Killed):
        train(tmp_path, monkeypatch, None, learning_rate=1e-2)
    keeper, model = train(tmp_path, monkeypatch, None, loss, learning_rate=1e-2)
    assert {path.name for path in tmp_path.iterdir()} == {BEST, LAST}
    assert keeper.best_digest == digest(tmp_path / BEST)
    state = last_state(tmp_path)["callbacks"][keeper.state_key]
    assert state["best_digest"] == keeper.best_digest
    assert [row["epoch"] for row in keeper.history] == [0, 1, 2, 3]
    assert validated(model) == keeper.history[keeper.best_epoch]["val/ndcg@10"]


def validated(model) -> float:
    """NDCG@10 of the weights that were kept, computed once more."""
    from recsys_lab.config import build
    from recsys_lab.data.batches import EvaluationBatches
    from recsys_lab.evaluation.protocols.base import evaluate
    from tests.training.test_resume import options

    batches = EvaluationBatches(FakeData(), "validation", batch_size=7, window=8, exclude_seen=True)
    protocol = build(options("evaluation", "full_ranking"))
    protocol.attach(FakeData())
    return evaluate(model, batches, protocol, "cpu", {}).compute()["ndcg@10"]


def test_other_best_weights_than_the_checkpoint_names_are_refused(tmp_path, monkeypatch):
    train(tmp_path, monkeypatch, None)
    content = bytearray((tmp_path / BEST).read_bytes())
    content[-5] ^= 1
    (tmp_path / BEST).write_bytes(content)
    (tmp_path / NEXT).write_bytes(content)  # of an epoch that would be trained again
    with pytest.raises(UserError, match=r"best.safetensors is damaged: .*last.ckpt has another"):
        train(tmp_path, monkeypatch, None)
    (tmp_path / BEST).unlink()
    with pytest.raises(UserError, match=r"best.safetensors is missing or is not \d+ bytes long"):
        train(tmp_path, monkeypatch, None)
