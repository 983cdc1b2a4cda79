"""Beam search against probabilities computed by hand, by brute force, and by exact scoring."""

from itertools import product

import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM
from recsys_lab.models.generative.decoding.trie import Trie
from recsys_lab.models.ranking import top_k
from tests.models.generative.tables import Tables, batch_of, beam, exact, ids_of, with_decoding

USERS, ITEMS, SIZES = 6, 40, (5, 4, 3)


def shop(seed=0):
    """Random codes of 40 items; the first four share theirs."""
    generator = torch.Generator().manual_seed(seed)
    codes_VL = torch.stack([torch.randint(n, (ITEMS,), generator=generator) for n in SIZES], 1)
    codes_VL[:4] = codes_VL[0]
    return ids_of(codes_VL, SIZES)


def people():
    return batch_of([[0]] * USERS)


def some_pairs(seed=1):
    """Excluded pairs, some of them twice; of user 5 all items but three."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(USERS, (120,), generator=generator)
    items = torch.randint(ITEMS - 3, (120,), generator=generator)
    all_but = torch.arange(ITEMS - 3)
    return torch.cat([rows, torch.full_like(all_but, 5)]), torch.cat([items, all_but])


# Items 0 to 5: two levels of three codes. Nodes of level 1: codes 0, 2; of level 2: 00, 02, 20, 21.
HAND = [[2, 0], [0, 2], [0, 0], [2, 1], [0, 2], [2, 0]]


def by_hand(num_beams):
    first = torch.tensor([[[0.5, 0.3, 0.2]]])
    second = torch.tensor([[[0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.6, 0.3, 0.1]]])
    model = Tables([first.log(), second.log()])
    return with_decoding(model, ids_of(HAND, (3, 3)), beam(num_beams))


def test_trie_of_six_items():
    first, second, items = Trie.of(torch.tensor(HAND)).levels
    assert first.starts.tolist() == [0, 2, 2]
    assert first.codes[:-2].tolist() == [0, 2]
    assert first.counts.tolist() == [3, 3]
    assert first.of_item_V.tolist() == [1, 0, 0, 1, 0, 1]
    assert second.starts.tolist() == [0, 2, 4, 4]
    assert second.codes[:-2].tolist() == [0, 2, 0, 1]
    assert second.parents.tolist() == [0, 0, 1, 1]
    assert second.counts.tolist() == [1, 2, 2, 1]
    assert items.starts.tolist() == [0, 1, 3, 5, 6, 6]
    assert items.codes[:-2].tolist() == [2, 1, 4, 0, 5, 3]
    assert (first.largest, second.largest, items.largest) == (2, 2, 2)


def test_lists_of_six_items():
    lists = by_hand(6).recommend(batch_of([[0]]), 6, None)
    # 00: .5 x .1, 02: .5 x .2, 20: .2 x .6, 21: .2 x .3; code 1 leads nowhere
    scores = {0: 0.12, 5: 0.12, 1: 0.10, 4: 0.10, 3: 0.06, 2: 0.05}
    items = lists.items_BK[0].tolist()
    assert sorted(items[:2]) == [0, 5]
    assert sorted(items[2:4]) == [1, 4]
    assert items[4:] == [3, 2]
    assert lists.scores_BK[0].exp().tolist() == pytest.approx([scores[i] for i in items])


def test_share_of_invalid_continuations_by_hand():
    lists = by_hand(2).recommend(batch_of([[0]]), 2, None)
    # Level 1 keeps 0 (.5) and 2 (.2); 1 (.3) is above 2: 1 of 2 is invalid.
    # Level 2 keeps 20 (.12) and 02 (.10); 01 (.35) is above them: 1 of 2.
    assert lists.diagnostics["invalid_beams"].tolist() == pytest.approx([2 / 4])


def test_excluded_items_are_valid_codes():
    pairs = (torch.tensor([0, 0]), torch.tensor([1, 4]))
    lists = by_hand(2).recommend(batch_of([[0]]), 2, pairs)
    # 02 (.10) is excluded as a whole, so 20 (.12) and 21 (.06) are kept; it is not invalid.
    assert sorted(lists.items_BK[0].tolist()) == [0, 5]
    assert lists.diagnostics["invalid_beams"].tolist() == pytest.approx([(1 + 1) / (2 + 3)])


@pytest.mark.parametrize("exclude", [None, some_pairs()])
def test_as_many_beams_as_items_equal_exact_scoring_and_brute_force(exclude):
    ids = shop()
    model = with_decoding(Tables.drawn(USERS, SIZES), ids, beam(ITEMS))
    found = model.recommend(people(), ITEMS, exclude)
    scored = with_decoding(model, ids, exact()).recommend(people(), ITEMS, exclude)
    assert torch.equal(found.items_BK, scored.items_BK)
    torch.testing.assert_close(found.scores_BK, scored.scores_BK)
    each = torch.tensor(
        [model.score(user, item) for user, item in product(range(USERS), range(ITEMS))]
    )
    brute = top_k(each.float().view(USERS, ITEMS), ITEMS, exclude, torch.arange(USERS))
    assert torch.equal(found.items_BK, brute.items_BK)
    torch.testing.assert_close(found.scores_BK, brute.scores_BK)


def kept_by_lists(model, user, num_beams, excluded):
    """Beam search over plain lists: the prefixes kept at the last level."""
    items = [i for i in range(ITEMS) if i not in excluded]
    codes = model.codes_VL.tolist()
    beams = [((), 0, 0.0)]
    for level, size in enumerate(model.num_codes):
        grown = []
        for prefix, number, score in beams:
            log = model.logits[level][user, number].log_softmax(0)
            below = {codes[i][level] for i in items if tuple(codes[i][:level]) == prefix}
            grown += [((*prefix, c), number * size + c, score + float(log[c])) for c in below]
        beams = sorted(grown, key=lambda beam: -beam[2])[:num_beams]
    return {prefix for prefix, _, _ in beams}


def test_few_beams_equal_a_search_over_plain_lists():
    model = with_decoding(Tables.drawn(USERS, SIZES), shop(), beam(5))
    rows, items = some_pairs()
    lists = model.recommend(people(), 5, (rows, items))
    for user in range(USERS):
        excluded = set(items[rows == user].tolist())
        kept = kept_by_lists(model, user, 5, excluded)
        below = [i for i in range(ITEMS) if tuple(model.codes_VL[i].tolist()) in kept]
        best = sorted(set(below) - excluded, key=lambda item: -model.score(user, item))[:5]
        scores = [model.score(user, item) for item in best]
        found = lists.items_BK[user].tolist()
        assert found[: len(best)].count(NO_ITEM) == 0
        assert lists.scores_BK[user, : len(best)].tolist() == pytest.approx(scores, rel=1e-5)
        assert found[len(best) :] == [NO_ITEM] * (5 - len(best))


def test_fewer_admissible_items_than_ranks():
    model = with_decoding(Tables.drawn(USERS, SIZES), shop(), beam(10))
    lists = model.recommend(people(), 10, some_pairs())
    assert sorted(lists.items_BK[5, :3].tolist()) == [37, 38, 39]
    assert lists.items_BK[5, 3:].tolist() == [NO_ITEM] * 7
    assert lists.diagnostics["list_shortfall"].tolist() == [0.0] * 6  # the search missed none


def test_users_without_admissible_items_have_empty_lists():
    model = with_decoding(Tables.drawn(USERS, SIZES), shop(), beam(10))
    everything = (torch.full((ITEMS,), 2), torch.arange(ITEMS))
    lists = model.recommend(people(), 10, everything)
    assert lists.items_BK[2].tolist() == [NO_ITEM] * 10
    assert NO_ITEM not in lists.items_BK[[0, 1, 3, 4, 5]]
    assert lists.diagnostics["invalid_beams"][2] == 0


def test_items_with_equal_codes_are_ranked_by_the_tie_rule():
    """A level of one code: all items share it, so that only the tie rule ranks them."""
    ids = ids_of(torch.zeros(ITEMS, 1, dtype=torch.int64), (2,))
    model = with_decoding(Tables.drawn(USERS, (2,)), ids, beam(ITEMS))
    ties = top_k(torch.zeros(USERS, ITEMS), 10, None, torch.arange(USERS))
    assert torch.equal(model.recommend(people(), 10, None).items_BK, ties.items_BK)


def test_lists_do_not_depend_on_the_batch():
    model = with_decoding(Tables.drawn(USERS, SIZES), shop(), beam(5))
    flat = with_decoding(Tables([0 * t for t in model.logits]), shop(), beam(5))
    rows, items = some_pairs()
    for one in (model, flat):  # with different scores, and with equal ones
        together = one.recommend(people(), 5, (rows, items)).items_BK
        for user in range(USERS):
            mine = items[rows == user]
            alone = one.recommend(batch_of([[0]], [user]), 5, (torch.zeros_like(mine), mine))
            assert torch.equal(alone.items_BK[0], together[user])


@pytest.mark.parametrize("at_once", [ITEMS, 7])
def test_candidates_equal_exact_scores_of_them(at_once):
    model = with_decoding(Tables.drawn(USERS, SIZES), shop(), exact(at_once))
    numbers = (30, 0, 5, ITEMS, 1, 17)
    rows = torch.repeat_interleave(torch.arange(USERS), torch.tensor(numbers))
    generator = torch.Generator().manual_seed(2)
    items = torch.cat([torch.randperm(ITEMS, generator=generator)[:n] for n in numbers])
    others = torch.ones(USERS, ITEMS, dtype=torch.bool)
    others[rows, items] = False
    wanted = model.recommend(people(), 20, others.nonzero(as_tuple=True))
    found = model.rank_candidates(people(), (rows, items), 20)
    assert torch.equal(found.items_BK, wanted.items_BK)
    torch.testing.assert_close(found.scores_BK, wanted.scores_BK)


def test_fewer_beams_than_ranks_are_refused():
    decoding = beam(9)
    model = with_decoding(Tables.drawn(USERS, SIZES), shop(), decoding)
    message = r"decoding\.num_beams: got 9, expected at least 10, .*; use decoding\.num_beams=10"
    with pytest.raises(UserError, match=message):
        model.recommend(people(), 10, None)
    decoding.config.num_beams = ITEMS
    decoding.check_length(ITEMS + 1)  # all items are reached


def test_memory_limits_the_users():
    ids = ids_of(torch.zeros(ITEMS, 1, dtype=torch.int64), (2,))
    few = with_decoding(Tables.drawn(1, (2,)), ids, beam(1)).users_at_once
    many = with_decoding(Tables.drawn(1, (2,)), ids, beam(10)).users_at_once
    assert few == 2**30 // (4 * 8 * 2)
    assert many == few // 10
