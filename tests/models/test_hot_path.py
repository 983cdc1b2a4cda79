"""No step makes the host wait for a GPU.

On torch's meta device, which has no values, a wait raises, and so does a tensor on another device.
What is allowed to wait is named here.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from experiments.models_by_losses.run import ITEMS, batch, losses, models, options

from recsys_lab.config import build
from recsys_lab.contracts import EvaluationBatch, UsesItemCounts, UsesTargetCounts
from recsys_lab.evaluation.protocols import base
from recsys_lab.models import ranking
from recsys_lab.training.module import SequentialModule
from tests.models.generative.tables import exact, ids_of, with_decoding
from tests.models.test_contracts import options as model_options

META = torch.device("meta")
MASKS = "transformers.masking_utils."
WAITS = {"find_packed_sequence_indices": None, "_ignore_bidirectional_mask_sdpa": False}
"""What of the Hugging Face encoders waits, and its answer: whether several sequences are in a row,
and whether a mask hides nothing."""
GENERATIVE = ("generative_decoder", "rpg", "tiger")


@pytest.fixture(autouse=True)
def _answered(monkeypatch):
    for name, answer in WAITS.items():
        monkeypatch.setattr(MASKS + name, lambda *_, _answer=answer, **__: _answer)


@pytest.fixture
def fetched(monkeypatch):
    """Sizes of what the host read; it reads that nothing was found."""
    sizes = []

    def nothing(values_n):
        sizes.append(len(values_n))
        return [0] * len(values_n)

    for module in (ranking, base):
        monkeypatch.setattr(module, "fetch", nothing)
    return sizes


def module_of(model, loss):
    recipe = build(options("recipe", "default"))
    protocol = build(options("evaluation", "full_ranking"))
    protocol.attach(SimpleNamespace(num_items=ITEMS))
    return SequentialModule(model.to(META), loss, recipe, protocol, 1), protocol


def step(model, loss, given):
    module, _ = module_of(model.train(), loss)
    module.training_step(given.to(META), 0).backward()
    module.on_before_optimizer_step(None)
    assert all(p.grad is None or p.grad.device == META for p in model.parameters())
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: torch.repeat_interleave(x.long()),
        lambda x: x.unique(),
        lambda x: x.cpu(),
        lambda x: x + torch.ones(3),
    ],
)
def test_a_wait_raises(wait):
    with pytest.raises((RuntimeError, NotImplementedError)):
        wait(torch.ones(3, device=META))


@pytest.mark.parametrize("loss_name", losses())
@pytest.mark.parametrize("name", models())
def test_a_training_step_does_not_wait(name, loss_name):
    given, loss = batch(), build(options("loss", loss_name))
    counts_V = torch.bincount(given.items_T, minlength=ITEMS)
    if isinstance(loss, UsesItemCounts):
        loss.read_counts(counts_V)
    if isinstance(loss, UsesTargetCounts) and loss.reads_targets:
        loss.read_targets(counts_V)
    step(build(models()[name], num_items=ITEMS), loss, given)


def test_nor_does_one_with_some_targets():
    given = batch()
    some_T = torch.arange(len(given.items_T)) % 3 > 0
    model = build(models()["sasrec"], num_items=ITEMS)
    step(model, build(options("loss", "softmax")), replace(given, supervised_T=some_T))


@pytest.mark.parametrize("supervised", [False, True])
@pytest.mark.parametrize("name", GENERATIVE)
def test_nor_does_one_of_a_model_with_its_own_loss(name, supervised):
    codes = [[item // 8, item % 8] for item in range(ITEMS)]
    model = build(model_options(name), num_items=ITEMS)
    with_decoding(model, ids_of(codes, (8, 8)), exact())
    given = batch()
    some_T = torch.arange(len(given.items_T)) % 3 > 0
    step(model, None, replace(given, supervised_T=some_T if supervised else None))


@pytest.mark.parametrize("name", models())
def test_recommending_waits_once_for_a_block_of_users(name, fetched):
    given, model = batch(), build(models()[name], num_items=ITEMS).eval().to(META)
    pairs = (torch.arange(given.size, device=META), torch.arange(given.size, device=META))
    with torch.inference_mode():
        lists = model.recommend(given.to(META), 5, pairs)
    assert lists.items_BK.shape == (given.size, 5)
    assert fetched == [given.size]


def test_an_evaluated_block_waits_once_more_to_check_its_lists(fetched):
    model = build(models()["sasrec"], num_items=ITEMS).eval()
    module, protocol = module_of(model, None)
    given, rows = batch(), torch.arange(batch().size)
    block = EvaluationBatch(given, rows, rows, rows, rows).to(META)
    with torch.inference_mode():
        base.evaluate_batch(protocol.results(), module.model, block, protocol)
    assert fetched == [given.size, 6]


@pytest.fixture
def _filled():
    """New memory is full of NaN or the largest number, as if another tensor had left them there."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def gradients(name, loss_name):
    torch.manual_seed(0)
    model, loss = build(models()[name], num_items=ITEMS).train(), build(options("loss", loss_name))
    states_ND, targets_N = model.training_states(batch())
    loss(states_ND, targets_N, model.item_table()).backward()
    lists = model.eval().recommend(batch(), 5, None)
    return [lists.scores_BK, *(p.grad for p in model.parameters() if p.grad is not None)]


PAIRS = [*((name, "softmax") for name in models()), ("sasrec", "gbce"), ("sasrec", "sce")]


@pytest.fixture(scope="module")
def expected():
    return {pair: gradients(*pair) for pair in PAIRS}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.usefixtures("_filled")
def test_no_memory_is_read_before_it_is_written(expected, pair):
    for value, wanted in zip(gradients(*pair), expected[pair], strict=True):
        assert torch.equal(value, wanted)
