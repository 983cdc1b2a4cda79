"""What every classical recommender must keep, and the helpers that they share."""

import numpy as np
import pytest
import torch

from recsys_lab.config import UserError, install_hint
from recsys_lab.contracts import NO_ITEM, Batch, FittedModel
from recsys_lab.models.classical import base as classical
from tests.models.classical.logs import CLASSICAL, Log, batch_of, make, random_log, scores_of

V = 30
SMALL = {name: {"num_factors": 8} for name in CLASSICAL if name.startswith(("ials", "pure_svd"))}
PUBLISHED = ["ease", "ials", "item_knn", "pure_svd"]  # functions of what was had, not of when
HISTORIES = [[3, 1, 4, 1], [29], [], list(range(20)), [2, 7, 1, 8, 2, 8]]
USERS = [5, 0, 1000, 59, 12345]  # 1000 and 12345 are not in the log


def fitted(name, log=None):
    model = make(name, V, **SMALL.get(name, {}))
    model.fit(log or random_log(0))
    return model


@pytest.fixture(params=CLASSICAL)
def name(request):
    return request.param


def test_satisfies_the_contract(name):
    model = make(name, V, **SMALL.get(name, {}))
    assert isinstance(model, FittedModel)
    assert not isinstance(model, torch.nn.Module)
    assert model.window is None or model.window >= 1


def test_lists_are_full_sorted_and_without_excluded_items(name):
    batch = batch_of(HISTORIES, USERS)
    rows = torch.repeat_interleave(torch.arange(5), torch.tensor(batch.lengths))
    lists = fitted(name).recommend(batch, 12, (rows, batch.items_T))
    assert lists.scores_BK.dtype == torch.float32
    for row, history in enumerate(HISTORIES):
        allowed = V - len(set(history))
        items = [i for i in lists.items_BK[row].tolist() if i != NO_ITEM]
        assert len(set(items)) == len(items) == min(12, allowed)
        assert not set(items) & set(history)
        assert (lists.scores_BK[row].diff() <= 0)[: len(items) - 1].all()


def test_stored_and_loaded_it_is_the_same(name, tmp_path):
    model = fitted(name)
    with (tmp_path / "model.npz").open("wb") as handle:
        np.savez(handle, **model.arrays())
    torch.manual_seed(7)
    again = type(model)(model.config, num_items=V)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        again.load_arrays(dict(arrays), random_log(0))
    batch = batch_of(HISTORIES, USERS)
    mine, theirs = model.recommend(batch, 9, None), again.recommend(batch, 9, None)
    assert torch.equal(mine.items_BK, theirs.items_BK)
    assert torch.equal(mine.scores_BK, theirs.scores_BK)


def test_two_fits_with_one_seed_are_equal(name):
    one, two = fitted(name).arrays(), fitted(name).arrays()
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key])


def test_a_model_says_whether_the_seed_changes_it(name):
    """A comparison takes the seed variance of those that say so for 0."""
    first = make(name, V, **SMALL.get(name, {}))
    torch.manual_seed(12)
    second = type(first)(first.config, num_items=V)
    for model in (first, second):
        model.fit(random_log(0))
    one, two = first.arrays(), second.arrays()
    equal = all(np.array_equal(one[key], two[key]) for key in one)
    assert equal == getattr(first, "ignores_seed", False)


def test_only_training_events_are_read(name):
    log, other = random_log(1, held_out=2), random_log(1, held_out=2)
    held = np.ones(len(log.items), dtype=bool)
    for _, start, end in log.segments("train"):
        held[start:end] = False
    assert held.sum() >= 100
    other.items[held] = (other.items[held] + 11) % V
    one, two = fitted(name, log).arrays(), fitted(name, other).arrays()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key])


def test_parts_of_a_batch_are_ranked_as_the_whole(name, monkeypatch):
    model = fitted(name)
    batch = batch_of(HISTORIES, USERS)
    exclude = (torch.tensor([4, 0, 3, 3]), torch.tensor([0, 2, 25, 26]))  # in no order
    whole = model.recommend(batch, 9, exclude)
    monkeypatch.setattr(classical, "SCORES_AT_A_TIME", 2 * V)
    parts = model.recommend(batch, 9, exclude)
    assert torch.equal(whole.items_BK, parts.items_BK)
    torch.testing.assert_close(whole.scores_BK, parts.scores_BK)


def test_companions_in_the_batch_change_nothing(name):
    model = fitted(name)
    together = model.recommend(batch_of(HISTORIES, USERS), 6, None)
    for row, (history, user) in enumerate(zip(HISTORIES, USERS, strict=True)):
        alone = model.recommend(batch_of([history], [user]), 6, None)
        assert torch.equal(alone.items_BK[0], together.items_BK[row])


@pytest.mark.parametrize("published", PUBLISHED)
def test_the_published_models_know_no_order_and_the_decayed_ones_do(published):
    for variant, knows in ((published, False), (f"{published}_decayed", True)):
        model = fitted(variant)
        forwards, backwards = ([3, 1, 4, 9, 12, 5], [5, 12, 9, 4, 1, 3])
        scores = scores_of(model, [forwards, backwards], V)
        assert np.allclose(scores[0], scores[1], rtol=1e-4, atol=1e-6) != knows, variant


def test_the_markov_chain_reads_the_last_event_alone_and_counts_its_successors():
    log = random_log(2, repeats=True)
    follows = np.zeros((V, V))
    for _, start, end in log.segments("train"):
        np.add.at(follows, (log.items[start : end - 1], log.items[start + 1 : end]), 1)
    model = make("markov", V)
    model.fit(log)
    assert model.window == 1
    scores = scores_of(model, [[4]], V)[0]
    known = follows[4] > 0
    np.testing.assert_allclose(scores[known], follows[4][known] / follows[4].sum(), rtol=1e-5)


def test_history_matrix_by_hand():
    batch = batch_of([[2, 0, 2, 1], [], [3]])
    latest = classical.history_matrix(batch, 4, decay=0.5).toarray()
    np.testing.assert_array_equal(latest, [[0.25, 1, 0.5, 0], [0] * 4, [0, 0, 0, 1]])
    added = classical.history_matrix(batch, 4, decay=0.5, counts=True).toarray()
    np.testing.assert_array_equal(added, [[0.25, 1, 0.625, 0], [0] * 4, [0, 0, 0, 1]])


def test_training_matrix_by_hand():
    log = Log([[0, 0, 1, 2], [2, 2], [1, 0, 2, 2]], 3, held_out=2)  # user 1 has no training event
    np.testing.assert_array_equal(
        classical.training_matrix(log, counts=True).toarray(), [[2, 0, 0], [0, 0, 0], [1, 1, 0]]
    )
    binary = classical.training_matrix(log, counts=False)
    np.testing.assert_array_equal(binary.toarray(), [[1, 0, 0], [0, 0, 0], [1, 1, 0]])
    assert binary.dtype == np.float32


def test_training_events_keep_place_and_segment():
    events = classical.training_events(Log([[5, 6, 7], [8, 9, 4, 3]], 10, held_out=1))
    assert events.items_N.tolist() == [5, 6, 8, 9, 4]
    assert events.places_N.tolist() == [0, 1, 3, 4, 5]
    assert events.segments_N.tolist() == events.users_N.tolist() == [0, 0, 1, 1, 1]


def test_parts_carry_timestamps():
    batch = batch_of([[1], [2, 3], [4]])
    timed = Batch(batch.users_B, batch.items_T, batch.offsets, batch.lengths, batch.items_T * 100)
    part, exclude = classical._part_of(timed, None, 1, 3)
    assert exclude is None
    assert part.users_B.tolist() == [1, 2]
    assert part.items_T.tolist() == [2, 3, 4]
    assert part.timestamps_T.tolist() == [200, 300, 400]
    assert part.offsets.tolist() == [0, 2, 3]
    assert part.lengths == (2, 1)


def test_unscored_items_follow_by_popularity():
    scores = np.asarray([[0.0, 1e-9, 0.0, 0.0]], dtype=np.float32)
    classical.fill_by_popularity(scores, np.asarray([5, 0, 9, 0]))
    assert np.argsort(-scores[0], kind="stable").tolist() == [1, 2, 0, 3]
    np.testing.assert_allclose(scores[0], [-0.5, 1e-9, -0.1, -1], rtol=1e-6)


def test_a_missing_package_is_named():
    with pytest.raises(UserError) as error:
        classical.require("no_such_package", "ials")
    assert str(error.value) == (
        f"model=ials needs no_such_package: {install_hint('baselines')} "
        "(No module named 'no_such_package')"
    )
