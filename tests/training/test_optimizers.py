"""Row-sparse training against plain Adam, and what it is not for."""

import copy

import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.config import UserError, build, config_dir
from recsys_lab.training.optimizers import decay_matrices_alone
from tests.models.test_contracts import V, batch_of, histories, make


def part(group: str, name: str, **changes):
    return build({**OmegaConf.load(config_dir() / group / f"{name}.yaml"), **changes})


def recipe(**changes):
    return part("recipe", "default", accelerator="cpu", learning_rate=0.05, **changes)


def steps(model, optimizer, loss, number=4):
    batch = batch_of(histories())
    for _ in range(number):
        optimizer.zero_grad()
        states, targets = model.training_states(batch)
        loss(states, targets, model.item_table()).backward()
        optimizer.step()


def everything(states, targets, table):
    """Reads every row, through lookups whose gradient may be sparse."""
    rows = torch.nn.functional.embedding(torch.arange(V), table, sparse=everything.sparse)
    return torch.nn.functional.cross_entropy(states @ rows.T, targets)


everything.sparse = False


@pytest.mark.parametrize("name", ["sasrec", "gsasrec"])
def test_equals_adam_when_a_step_reads_every_row(name, monkeypatch):
    """Where all rows have a gradient, lazy Adam is Adam (the tied table; the output table)."""
    dense = make(name, dropout=0.0, attention_dropout=0.0, feedforward_dropout=0.0)
    sparse = copy.deepcopy(dense)
    steps(dense, recipe().optimizer(dense, everything), everything, 1)
    monkeypatch.setattr(everything, "sparse", False)
    optimizer = recipe(sparse_embeddings=True).optimizer(sparse, everything)
    steps(sparse, optimizer, everything, 1)
    assert sparse.item_table().grad.is_sparse
    for (key, mine), theirs in zip(sparse.named_parameters(), dense.parameters(), strict=True):
        # The two add their epsilon before and after a scaling: it shows in tiny gradients.
        is_sparse = key in ("items.weight", "output.weight")
        clear = (theirs.grad == 0) | (theirs.grad.abs() > (1e-3 if is_sparse else 0.0))
        torch.testing.assert_close(mine[clear], theirs[clear], atol=1e-5, rtol=0, msg=key)
        assert clear.sum() > 50 or not is_sparse, key


def test_rows_that_are_not_read_stay_as_they_are():
    torch.manual_seed(0)
    model = make("sasrec")
    before = model.items.weight.detach().clone()
    loss = part("loss", "sampled_softmax", num_negatives=3)
    steps(model, recipe(sparse_embeddings=True).optimizer(model, loss), loss, 1)
    moved = set((model.items.weight != before).any(1).nonzero().flatten().tolist())
    read = {item for history in histories() for item in history}
    assert read <= moved
    assert len(moved - read) <= 3
    assert len(moved) < V


def test_the_rate_is_followed_by_both_and_kept_with_the_state():
    model, loss = make("sasrec"), part("loss", "bce")
    made = recipe(sparse_embeddings=True, schedule="linear", warmup_steps=2)
    optimizer = made.optimizer(model, loss)
    scheduler = made.scheduler(optimizer, 10)
    for _ in range(3):
        steps(model, optimizer, loss, 1)
        scheduler.step()
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.05 * 7 / 8] * 2)
    other = made.optimizer(copy.deepcopy(model), part("loss", "bce"))
    other.load_state_dict(optimizer.state_dict())
    assert [group["lr"] for group in other.param_groups] == rates
    assert len(other.state) == len(optimizer.state) == len(list(model.parameters()))


def test_what_it_is_not_for():
    with pytest.raises(UserError, match=r"weight_decay=0\.1, which needs all item vectors"):
        recipe(sparse_embeddings=True, weight_decay=0.1)
    with pytest.raises(UserError, match=r"set recipe\.gradient_clip=null"):
        recipe(sparse_embeddings=True, gradient_clip=1.0)
    with pytest.raises(UserError, match=r"reads the vectors of all items; use a sampled one"):
        recipe(sparse_embeddings=True).optimizer(make("sasrec"), part("loss", "softmax"))
    model = make("sasrec")
    model.items = torch.nn.Identity()
    with pytest.raises(UserError, match=r"are not a plain embedding table; use inputs=ids"):
        recipe(sparse_embeddings=True).optimizer(model, part("loss", "bce"))
    sgd = {
        "_target_": "recsys_lab.training.optimizers.TorchOptimizer",
        "name": "SGD",
        "options": {},
    }
    other = recipe(sparse_embeddings=True, optimizer=sgd)
    with pytest.raises(UserError, match=r"TorchOptimizer has no make_sparse; use recipe\.optim"):
        other.optimizer(make("sasrec"), part("loss", "bce"))


def test_weight_decay_on_matrices_alone():
    """A step without gradients shows the decay: AdamW multiplies by 1 - rate x decay."""
    model = make("gsasrec")  # a table of inputs, one of outputs, and one of positions
    before = copy.deepcopy(model)
    made = recipe(optimizer="adamw", weight_decay=0.2, weight_decay_on="matrices")
    optimizer = made.optimizer(model, None)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    decayed = set()
    for (name, weight), old in zip(model.named_parameters(), before.parameters(), strict=True):
        if not torch.equal(weight, old):
            torch.testing.assert_close(weight, old * (1 - 0.05 * 0.2), msg=name)
            decayed.add(name.rpartition("blocks.")[2][2:])
    parts = model.blocks[0].named_modules()
    assert decayed == {f"{name}.weight" for name, one in parts if type(one) is torch.nn.Linear}
    known = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert len(known) == len(list(model.parameters()))


def test_an_optimizer_without_weight_decay_cannot_spare_weights():
    optimizer = torch.optim.SparseAdam([torch.nn.Parameter(torch.ones(2, 2))])
    with pytest.raises(UserError, match=r"SparseAdam has no weight_decay .*weight_decay_on=all"):
        decay_matrices_alone(optimizer, torch.nn.Linear(1, 1))
