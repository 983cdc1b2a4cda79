"""TIGER against transformers' own forward pass and `generate`, and against a plain classifier."""

import pytest
import torch
from scripts.benchmark_decoding import HuggingFaceTIGER
from torch.nn import functional as F

from recsys_lab.models.generative.tiger import TIGER
from recsys_lab.models.ranking import top_k
from recsys_lab.training.memory_estimate import kept_per_target
from tests.models.generative.tables import batch_of, beam, exact, ids_of, with_decoding

ITEMS, SIZES = 30, (5, 4, 3)
WITH_TARGETS = [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10, 11], [3, 1]]
HISTORIES = [history[:-1] for history in WITH_TARGETS]
SMALL = {
    "hidden_dim": 16, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3, "head_dim": 5,
    "feedforward_dim": 24, "max_length": 6, "dropout": 0.1, "user_tokens": 0,
}  # fmt: skip


def made(ids, decoding, **changes):
    torch.manual_seed(0)
    model = TIGER(TIGER.Config(**{**SMALL, **changes}), num_items=len(ids.codes_VL))
    return with_decoding(model, ids, decoding).eval()


def codes():
    generator = torch.Generator().manual_seed(3)
    return ids_of(
        torch.stack([torch.randint(n, (ITEMS,), generator=generator) for n in SIZES], 1), SIZES
    )


@pytest.mark.parametrize("user_tokens", [0, 3])
@torch.inference_mode()
def test_steps_equal_the_forward_pass_with_all_codes_given(user_tokens):
    model = made(codes(), beam(ITEMS), user_tokens=user_tokens)
    given, codes_BL = model.training_logits(batch_of(WITH_TARGETS))
    cache, parents_BW, codes_BW = model.start(batch_of(HISTORIES)), None, None
    for level, logits_BC in enumerate(given):
        logits_BWC, cache = model.step(cache, level, parents_BW, codes_BW)
        torch.testing.assert_close(logits_BWC[:, 0], logits_BC, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits_BWC[:, -1], logits_BC, atol=1e-5, rtol=1e-5)
        # From the second level on two equal beams, whose parents are taken in turn.
        width = 1 if level == 0 else 2
        parents_BW = torch.tensor([[0, width - 1]]).expand(4, -1)
        codes_BW = codes_BL[:, level : level + 1].expand(-1, 2)


@torch.inference_mode()
def test_beams_keep_the_tokens_of_their_own_parents():
    model = made(codes(), beam(ITEMS))
    batch = batch_of(HISTORIES)
    _, first = model.step(model.start(batch), 0, None, None)
    two = torch.tensor([[1, 4]]).expand(4, -1)
    _, second = model.step(first, 1, torch.zeros_like(two), two)
    crossed = torch.tensor([[1, 0]]).expand(4, -1)
    together, _ = model.step(second, 2, crossed, torch.tensor([[2, 0]]).expand(4, -1))
    for beam_of, (code_1, code_2) in enumerate([(4, 2), (1, 0)]):
        cache = model.start(batch)
        _, cache = model.step(cache, 0, None, None)
        one = torch.zeros(4, 1, dtype=torch.int64)
        _, cache = model.step(cache, 1, one, one + code_1)
        alone, _ = model.step(cache, 2, one, one + code_2)
        torch.testing.assert_close(together[:, beam_of], alone[:, 0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_logits_and_loss_are_those_of_transformers():
    model = made(codes(), beam(ITEMS))
    plain = HuggingFaceTIGER(model)
    tokens, mask, labels = plain.examples(batch_of(WITH_TARGETS))
    out = plain.t5(input_ids=tokens, attention_mask=mask, labels=labels)
    logits, codes_BL = model.training_logits(batch_of(WITH_TARGETS))
    loss, parts = model.training_loss(batch_of(WITH_TARGETS))
    wanted = 0.0
    for level, rows in enumerate(plain.rows_of_levels):
        theirs = out.logits[:, level, rows]
        torch.testing.assert_close(logits[level], theirs, atol=1e-5, rtol=1e-5)
        of_level = F.cross_entropy(theirs, codes_BL[:, level])
        assert float(parts[f"loss_level_{level}"]) == pytest.approx(float(of_level), rel=1e-5)
        wanted += float(of_level)
    assert float(loss) == pytest.approx(wanted, rel=1e-5)


@torch.inference_mode()
def test_lists_are_those_of_generate():
    # As many layers in both halves: transformers' own cache counts those of the encoder.
    model = made(codes(), beam(8), num_decoder_layers=2)
    found = model.recommend(batch_of(HISTORIES), 8, None)
    plain = HuggingFaceTIGER(model)
    tuples_BW, scores_BW = plain.generate(batch_of(HISTORIES), 8)
    for user in range(4):
        theirs = dict(zip(tuples_BW[user], scores_BW[user].tolist(), strict=True))
        ours = [tuple(model.codes_VL[item].tolist()) for item in found.items_BK[user]]
        distinct = list(dict.fromkeys(ours))
        assert distinct == list(theirs)[: len(distinct)]  # items may share their codes
        wanted = [theirs[codes_L] for codes_L in ours]
        assert found.scores_BK[user].tolist() == pytest.approx(wanted, abs=1e-4)


@torch.inference_mode()
def test_with_one_code_an_item_it_is_a_classifier_of_items():
    ids = ids_of(torch.randperm(ITEMS).unsqueeze(1), (ITEMS,))
    model = made(ids, beam(ITEMS))
    [logits_BC], _ = model.training_logits(batch_of(WITH_TARGETS))
    scores_BV = logits_BC.log_softmax(1)[:, ids.codes_VL[:, 0]]
    exclude = (torch.tensor([0, 0, 2, 3]), torch.tensor([1, 2, 6, 3]))
    plain = top_k(scores_BV.clone(), 10, exclude, torch.arange(4))
    found = model.recommend(batch_of(HISTORIES), 10, exclude)
    assert torch.equal(found.items_BK, plain.items_BK)
    torch.testing.assert_close(found.scores_BK, plain.scores_BK)
    targets_B = torch.tensor([history[-1] for history in WITH_TARGETS])
    loss, _ = model.training_loss(batch_of(WITH_TARGETS))
    assert float(loss) == pytest.approx(float(F.nll_loss(scores_BV, targets_B)), rel=1e-6)


@torch.inference_mode()
def test_lists_do_not_depend_on_the_batch():
    model = made(codes(), beam(10))
    together = model.recommend(batch_of(HISTORIES), 10, None)
    for user, history in enumerate(HISTORIES):
        alone = model.recommend(batch_of([history], [user]), 10, None)
        assert torch.equal(alone.items_BK[0], together.items_BK[user])
        torch.testing.assert_close(alone.scores_BK[0], together.scores_BK[user])


def test_events_that_are_not_supervised_give_no_loss():
    model = made(codes(), beam(ITEMS))
    batch = batch_of(WITH_TARGETS)
    some = torch.zeros(len(batch.items_T), dtype=torch.bool)
    some[batch.last_B[[0, 2]]] = True
    only = batch_of([WITH_TARGETS[0], WITH_TARGETS[2]])
    object.__setattr__(batch, "supervised_T", some)
    with torch.no_grad():
        wanted = float(model.training_loss(only)[0])
        assert float(model.training_loss(batch)[0]) == pytest.approx(wanted)
    object.__setattr__(batch, "supervised_T", torch.zeros_like(some))
    loss, _ = model.training_loss(batch)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(float(p.grad.abs().sum()) == 0 for p in model.parameters() if p.grad is not None)


def test_it_learns_one_batch_by_heart_and_reaches_an_item_never_trained_on():
    """Item 29 shares its first two codes with a target, so its codes are probable as a prefix."""
    ids = codes()
    ids.codes_VL[3], ids.codes_VL[29] = torch.tensor([1, 2, 0]), torch.tensor([1, 2, 1])
    model = made(ids, exact(), dropout=0.0).train()
    batch = batch_of(WITH_TARGETS)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = model.training_loss(batch)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2
    with torch.inference_mode():
        lists = with_decoding_only(model, ids).recommend(batch_of(HISTORIES), 8, None)
    targets = [tuple(ids.codes_VL[history[-1]].tolist()) for history in WITH_TARGETS]
    firsts = [tuple(ids.codes_VL[items[0]].tolist()) for items in lists.items_BK.tolist()]
    assert firsts == targets
    assert 29 in lists.items_BK[0].tolist()


def with_decoding_only(model, ids):
    """The same weights with beam search."""
    model._decoding = beam(8)
    model._decoding.read_codes(ids)
    return model.eval()


def test_memory_of_the_decoder_is_that_of_its_matrix_products():
    """Queries, keys and values twice, what mixes the heads twice, and the feed-forward layers."""
    model = made(codes(), exact(7))
    heads = SMALL["num_heads"] * SMALL["head_dim"]
    of_block = (
        2 * (3 * SMALL["hidden_dim"] + heads) + SMALL["hidden_dim"] + SMALL["feedforward_dim"]
    )
    assert kept_per_target(model) == len(SIZES) * SMALL["num_decoder_layers"] * of_block
