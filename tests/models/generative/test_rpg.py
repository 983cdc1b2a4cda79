"""RPG: scores of all items, the search over a graph of items, its loss in one pass."""

from dataclasses import replace

import pytest
import torch
import yaml
from torch.nn import functional as F

from recsys_lab.config import build, config_dir
from recsys_lab.contracts import NO_ITEM
from recsys_lab.models.ranking import top_k
from recsys_lab.models.sequential.layers import PaddedLayout
from tests.models.generative.tables import batch_of, beam, exact, ids_of, with_decoding

ITEMS, SIZES = 60, (5, 6, 4, 7)
HISTORIES = [[1, 2, 3, 4, 5, 6], [3, 4], [5, 6, 7, 8, 9, 10, 11, 12, 13], [7]]
WITH_TARGETS = [[1, 2, 3, 4, 5, 6, 39], [3, 4, 20], [5, 6, 7, 8], [7, 21]]
EXCLUDE = (torch.tensor([0, 0, 1, 3]), torch.tensor([5, 7, 9, 11]))


def codes(items=ITEMS, sizes=SIZES):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(size, (items,), generator=generator) for size in sizes]
    return ids_of(torch.stack(drawn, 1), sizes)


def made(ids, decoding, **changes):
    values = yaml.safe_load((config_dir() / "model/rpg.yaml").read_text())
    small = {"hidden_dim": 16, "feedforward_dim": 32, "max_length": 9, "init_std": 0.3}
    del values["defaults"]
    torch.manual_seed(0)
    options = {**values, **small, "dropout": 0.0, "temperature": 0.1, **changes}
    model = with_decoding(build(options, num_items=len(ids.codes_VL)), ids, decoding)
    torch.nn.init.normal_(model.heads.weight, std=0.1)
    torch.nn.init.normal_(model.heads.bias, std=0.1)
    return model.eval()


def state_after(model, history):
    """The stack's state after vectors pooled code by code."""
    tables = model.codes.weight.split(model.num_codes)
    vectors = [
        [table[code] for table, code in zip(tables, model.codes_VL[i], strict=True)]
        for i in history
    ]
    pooled = torch.stack([
        sum(codes) / (len(codes) if model.config.pooling == "mean" else 1) for codes in vectors
    ])  # fmt: skip
    layout = PaddedLayout.of([len(history)], torch.device("cpu"))
    return model.stack(pooled, layout)[-1]


def log_probability(model, state, item):
    """Of each code of an item, code by code."""
    tables, logs = model.codes.weight.split(model.num_codes), []
    for level, (table, code) in enumerate(zip(tables, model.codes_VL[item], strict=True)):
        aim = state + F.silu(state @ model.heads.weight[level] + model.heads.bias[level, 0])
        cosines = F.cosine_similarity(aim[None], table)
        logs.append((cosines / model.config.temperature).log_softmax(0)[code])
    return torch.stack(logs)


def lists_by_hand(model, k, exclude):
    scores_BV = torch.stack([
        torch.stack([log_probability(model, state, item).sum() for item in range(ITEMS)])
        for state in (state_after(model, history) for history in HISTORIES)
    ])  # fmt: skip
    return top_k(scores_BV, k, exclude, torch.arange(len(HISTORIES)))


@torch.inference_mode()
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_exact_scores_are_those_of_each_item_alone(pooling):
    model = made(codes(), exact(7), pooling=pooling)
    found = model.recommend(batch_of(HISTORIES), 10, EXCLUDE)
    wanted = lists_by_hand(model, 10, EXCLUDE)
    assert torch.equal(found.items_BK, wanted.items_BK)
    torch.testing.assert_close(found.scores_BK, wanted.scores_BK, atol=1e-4, rtol=1e-5)
    of_codes = model._decoding.rank(model, batch_of(HISTORIES), 10, EXCLUDE)
    assert torch.equal(found.items_BK, of_codes.items_BK)


@torch.inference_mode()
def test_candidates_alone_are_scored():
    model = made(codes(), exact(7))
    everything = model.recommend(batch_of(HISTORIES), ITEMS, None)
    rows = torch.tensor([0, 0, 0, 1, 3, 3])
    items = torch.tensor([40, 3, 22, 8, 1, 59])
    model.recommend = None
    lists = model.rank_candidates(batch_of(HISTORIES), (rows, items), 2)
    for row in range(4):
        mine = set(items[rows == row].tolist())
        ranked = [item for item in everything.items_BK[row].tolist() if item in mine][:2]
        assert lists.items_BK[row].tolist() == ranked + [NO_ITEM] * (2 - len(ranked))


@torch.inference_mode()
def test_a_search_with_beams_for_all_items_gives_the_exact_lists():
    ids = codes()
    ids.codes_VL[10] = ids.codes_VL[11]  # equal scores, ordered by the rule of ties
    wanted = made(ids, exact()).recommend(batch_of(HISTORIES), 60, EXCLUDE)
    for decoding, edges, k in ((beam(ITEMS), 2, 60), (beam(100), 2, 60), (beam(50), 59, 10)):
        model = made(ids, decoding, num_edges=edges, num_steps=1)
        found = model.recommend(batch_of(HISTORIES), k, EXCLUDE)
        assert torch.equal(found.items_BK, wanted.items_BK[:, :k])
        assert torch.equal(found.scores_BK, wanted.scores_BK[:, :k])
        assert found.diagnostics["list_shortfall"].tolist() == [0.0] * 4  # it missed none


@torch.inference_mode()
def test_few_beams_meet_most_of_the_best_and_never_an_excluded_item():
    ids = codes(600, (8,) * 6)
    users = [[(7 * user + place) % 600 for place in range(5)] for user in range(30)]
    wanted = made(ids, exact(100)).recommend(batch_of(users), 10, None)
    model = made(ids, beam(40), num_edges=15, num_steps=3)
    found = model.recommend(batch_of(users), 10, None)
    pairs = list(zip(found.items_BK.tolist(), wanted.items_BK.tolist(), strict=True))
    assert sum(len({*some} & {*best}) for some, best in pairs) / 300 >= 0.9
    exclude = (torch.arange(30).repeat_interleave(5), found.items_BK[:, :5].flatten())
    without = model.recommend(batch_of(users), 10, exclude)
    for seen, items in zip(found.items_BK[:, :5].tolist(), without.items_BK.tolist(), strict=True):
        assert not {*seen} & {*items}
        assert len({*items}) == 10


@torch.inference_mode()
def test_neighbours_are_the_items_of_most_similar_codes_of_these_weights():
    model = made(codes(), beam(10), num_edges=4)
    for _ in range(2):
        tables = model.codes.weight.split(SIZES)
        vectors = [
            torch.cat([F.normalize(t[c], dim=0) for t, c in zip(tables, item, strict=True)])
            for item in model.codes_VL
        ]
        similar_VV = torch.stack(vectors) @ torch.stack(vectors).T
        similar_VV.fill_diagonal_(-torch.inf)
        assert torch.equal(model._neighbours(), similar_VV.topk(4).indices)
        model.codes.weight.normal_()


@torch.no_grad()
def test_the_loss_of_one_pass_is_that_of_every_prefix_alone():
    model = made(codes(), exact())
    logs = torch.stack([
        log_probability(model, state_after(model, history[:place]), history[place])
        for history in WITH_TARGETS for place in range(1, len(history))
    ])  # fmt: skip
    loss, parts = model.training_loss(batch_of(WITH_TARGETS))
    assert list(parts) == [f"loss_level_{level}" for level in range(4)]
    torch.testing.assert_close(torch.stack(list(parts.values())), -logs.mean(0))
    torch.testing.assert_close(loss, -logs.sum(1).mean())


def test_events_that_are_not_supervised_give_no_loss():
    model, batch = made(codes(), exact()), batch_of(WITH_TARGETS)
    some = torch.zeros(len(batch.items_T), dtype=torch.bool)
    some[[0, 3, 6, 9, 12]] = True  # the first is never a target
    with torch.no_grad():
        goals = [(WITH_TARGETS[0], 3), (WITH_TARGETS[0], 6), (WITH_TARGETS[1], 2)]
        goals.append((WITH_TARGETS[2], 2))
        states = [(state_after(model, h[:place]), h[place]) for h, place in goals]
        logs = [log_probability(model, state, item).sum() for state, item in states]
        loss, _ = model.training_loss(replace(batch, supervised_T=some))
    torch.testing.assert_close(loss, -torch.stack(logs).mean())
    loss, _ = model.training_loss(replace(batch, supervised_T=torch.zeros_like(some)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(float(weight.grad.abs().sum()) == 0 for weight in model.parameters())


@torch.inference_mode()
def test_with_one_code_an_item_it_is_a_softmax_over_items():
    ids = ids_of(torch.randperm(ITEMS).unsqueeze(1), (ITEMS,))
    for decoding in (exact(7), beam(ITEMS)):
        model = made(ids, decoding)
        found = model.recommend(batch_of(HISTORIES), ITEMS, None)
        ones_B = found.scores_BK.exp().sum(1)  # over all items
        torch.testing.assert_close(ones_B, torch.ones(4))


def test_it_learns_one_batch_by_heart_and_reaches_every_weight():
    model, batch = made(codes(), exact()).train(), batch_of(WITH_TARGETS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = model.training_loss(batch)
        loss.backward()
        assert all(float(weight.grad.abs().sum()) > 0 for weight in model.parameters())
        optimizer.step()
    assert float(loss.detach()) < 0.5  # from 9 at first
    lists = model.eval().recommend(batch_of([h[:-1] for h in WITH_TARGETS]), 5, None)
    assert lists.items_BK[:, 0].tolist() == [history[-1] for history in WITH_TARGETS]
