"""LIGER: candidates and dense ranking against brute force, and items that were never trained on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.contracts import SemanticIds
from recsys_lab.models.generative.liger import LIGER
from recsys_lab.models.generative.tiger import TIGER
from tests.models.generative.tables import batch_of, beam, exact
from tests.models.generative.test_tiger import HISTORIES, ITEMS, SIZES, SMALL, WITH_TARGETS

COLD = [4, 17, 29]
LIGER_OPTIONS = {"temperature": 0.07, "dense_weight": 1.0, "candidates": 6}
GENERATOR = torch.Generator().manual_seed(5)
CODES_VL = torch.stack([torch.randint(n, (ITEMS,), generator=GENERATOR) for n in SIZES], 1)
VECTORS_VE = torch.randn(ITEMS, 7, generator=GENERATOR).numpy()


def made(decoding=None, kind=LIGER, codes_VL=CODES_VL, vectors_VE=VECTORS_VE, cold=COLD, **changes):
    """A model with weights; ``cold`` items have no training event."""
    torch.manual_seed(0)
    ids = SemanticIds(codes_VL, SIZES, vectors_VE, "made")
    counts_V = np.ones(len(codes_VL), np.int64)
    counts_V[cold] = 0
    options = {**SMALL, **(LIGER_OPTIONS if kind is LIGER else {}), **changes}
    model = kind(kind.Config(**options), num_items=len(codes_VL))
    decoding = decoding or exact()
    decoding.read_codes(ids)
    data = SimpleNamespace(training_item_counts=lambda: counts_V)
    model.read_semantic_ids(ids, data, decoding)
    return model.eval()


@torch.inference_mode()
def cosines(model, history):
    """Of the predicted vector of one history and those of all items, without padding."""
    rows = [
        (i, code + sum(SIZES[:level])) for i in history for level, code in enumerate(CODES_VL[i])
    ]
    items, codes = (torch.tensor(column) for column in zip(*rows, strict=True))
    tokens_SD = model.codes.weight[codes] + model.project_inputs(model.vectors_VE[items])
    encoded_SD = model.encoder(inputs_embeds=tokens_SD.unsqueeze(0)).last_hidden_state[0]
    state_D = model.project_states(encoded_SD[-1])
    return F.cosine_similarity(state_D, model.project_items(model.vectors_VE), dim=1)


@torch.inference_mode()
def test_lists_are_the_generated_and_the_cold_items_in_dense_order():
    model = made(beam(ITEMS))
    seen = torch.tensor([0, 0, 2]), torch.tensor([1, 17, 9])
    lists = model.recommend(batch_of(HISTORIES), 5, seen)
    for row, history in enumerate(HISTORIES):
        excluded = seen[1][seen[0] == row].tolist()
        generated = TIGER.recommend(model, batch_of([history], [row]), ITEMS, None).items_BK[0]
        kept = [item for item in generated.tolist() if item not in excluded][:6]
        known = {*kept, *COLD} - {*excluded}
        scores_V = cosines(model, history)
        expected = sorted(known, key=lambda item: -float(scores_V[item]))[:5]
        assert lists.items_BK[row].tolist() == expected
        torch.testing.assert_close(lists.scores_BK[row], scores_V[expected], atol=1e-5, rtol=1e-4)
    assert set(lists.diagnostics) == {"invalid_beams", "list_shortfall"} == set(model.diagnostics)


@torch.inference_mode()
def test_enough_candidates_are_the_whole_catalogue():
    model = made(beam(ITEMS), candidates=ITEMS)
    lists = model.recommend(batch_of(HISTORIES), ITEMS, None)
    dense_BV = torch.stack([cosines(model, history) for history in HISTORIES])
    assert lists.items_BK.tolist() == dense_BV.argsort(1, descending=True).tolist()
    again = made(exact(), candidates=ITEMS).recommend(batch_of(HISTORIES), ITEMS, None)
    assert torch.equal(lists.items_BK, again.items_BK)
    asked = torch.tensor([0, 0, 0, 2, 2]), torch.tensor([3, 4, 8, 0, 29])
    few = model.rank_candidates(batch_of(HISTORIES), asked, 2)
    assert few.items_BK[0].tolist() == sorted([3, 4, 8], key=lambda i: -float(dense_BV[0, i]))[:2]
    assert sorted(few.items_BK[2].tolist()) == [0, 29]
    assert few.items_BK[1].tolist() == [-1, -1]


@torch.inference_mode()
def test_histories_are_encoded_once(monkeypatch):
    model, calls = made(beam(ITEMS)), []
    encode = LIGER._encode
    monkeypatch.setattr(LIGER, "_encode", lambda *given: calls.append(1) or encode(*given))
    pairs = torch.tensor([0, 1]), torch.tensor([3, 4])
    model.recommend(batch_of(HISTORIES), 5, pairs)
    assert len(calls) == 1
    model.rank_candidates(batch_of(HISTORIES), pairs, 5)
    assert len(calls) == 2
    with pytest.raises(ValueError, match="empty"):
        model.recommend(batch_of([[1], []]), 5, None)


def test_both_losses_and_the_events_that_count():
    model = made()
    batch = batch_of(WITH_TARGETS)
    loss, parts = model.training_loss(batch)
    dense = []
    for history, target in zip(HISTORIES, (h[-1] for h in WITH_TARGETS), strict=True):
        logits_V = cosines(model, history) / 0.07
        logits_V[COLD] = -torch.inf
        dense.append(-float(logits_V.log_softmax(0)[target]))
    assert float(parts["loss_dense"].detach()) == pytest.approx(np.mean(dense), rel=1e-4)
    codes, of_codes = TIGER.training_loss(model, batch)
    torch.testing.assert_close(loss, codes + parts["loss_dense"])
    assert [*parts] == [*of_codes, "loss_dense"]
    for name in of_codes:
        torch.testing.assert_close(parts[name], of_codes[name])
    is_target_T = torch.zeros(len(batch.items_T), dtype=torch.bool)
    is_target_T[batch.last_B[2]] = True
    _, third = model.training_loss(replace(batch, supervised_T=is_target_T))
    assert float(third["loss_dense"].detach()) == pytest.approx(dense[2], rel=1e-4)
    none, _ = model.training_loss(replace(batch, supervised_T=torch.zeros_like(is_target_T)))
    none.backward()
    assert float(none.detach()) == 0


def test_an_item_that_nobody_met_is_recommended_for_its_vector():
    """Two kinds of items; the last item of each kind was never trained on, nor were its codes."""
    vectors_VE = np.zeros((12, 2), np.float32)
    vectors_VE[range(12), np.arange(12) % 2] = 1
    vectors_VE += 0.1 * np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    codes_VL = torch.tensor([[n % 4, n // 4, 0] for n in range(10)] + [[4, 3, 1], [4, 3, 2]])
    histories = [[n % 10, (n + 2) % 10, (n + 4) % 10] for n in range(10)]
    queries = [[0, 2], [1, 3]]
    ranks = {}
    for kind in (LIGER, TIGER):
        chosen = {"codes_VL": codes_VL, "vectors_VE": vectors_VE, "cold": [10, 11], "dropout": 0.0}
        model = made(kind=kind, **chosen).train()
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(40):
            loss, _ = model.training_loss(batch_of(histories))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            items_BK = model.eval().recommend(batch_of(queries), 12, None).items_BK
        ranks[kind] = [items_BK[row].tolist().index(10 + row) for row in range(2)]
        if kind is LIGER:  # those of the other kind come last
            found = items_BK[:, :6].tolist()
            assert [{item % 2 for item in row} for row in found] == [{0}, {1}]
    assert max(ranks[LIGER]) < 6
    assert min(ranks[TIGER]) >= 10


def test_refusals():
    with pytest.raises(UserError, match=r"LIGER reads the item vectors.*semantic_ids=residual_km"):
        made(vectors_VE=None)
    with pytest.raises(UserError, match=r"decoding\.num_beams: got 5, expected at least 6"):
        made(beam(5))
