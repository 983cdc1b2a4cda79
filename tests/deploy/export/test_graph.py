"""The ONNX graph of every architecture ranks as the model does in the lab."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from recsys_lab.contracts import Batch
from recsys_lab.deploy.export.graph import OPSET
from recsys_lab.models.ranking import top_k
from tests.deploy.export.conftest import TIED, K, V, padded


def batch_of(histories, users, times):
    lengths = [len(history) for history in histories]
    flat = [torch.tensor([x for row in rows for x in row]) for rows in (histories, times)]
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    return Batch(torch.tensor(users), flat[0], offsets, tuple(lengths), flat[1])


def lab_lists(graph, histories, seen, users, times, k=K):
    pairs = [(row, item) for row, items in enumerate(seen) for item in items]
    pairs += [(row, item) for row in range(len(seen)) for item in graph.not_candidates]
    exclude = tuple(torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T)
    return graph.model.recommend(batch_of(histories, users, times), k, exclude)


def drawn(rng, lengths):
    histories = [rng.integers(0, V, length).tolist() for length in lengths]
    times = [np.sort(rng.integers(0, 10**9, length)).tolist() for length in lengths]
    return histories, times


@pytest.mark.parametrize("size", [1, 2, 7])
def test_its_lists_are_the_models(graph, size):
    rng = np.random.default_rng(size)
    for longest in range(1, graph.model.window + 1):
        lengths = [longest, *rng.integers(1, longest + 1, size - 1).tolist()]
        histories, times = drawn(rng, lengths)
        histories[0] = [histories[0][0]] * longest  # one item, again and again
        seen = [rng.integers(0, V, 3 + row).tolist() for row in range(size)]
        users = rng.integers(0, 50, size)
        items, scores = graph.run(padded(histories), padded(seen), users, padded(times, 0))
        lists = lab_lists(graph, histories, seen, users.tolist(), times)
        np.testing.assert_array_equal(items, lists.items_BK)
        np.testing.assert_allclose(scores, lists.scores_BK, rtol=1e-5, atol=1e-6)


def test_equal_scores_are_ordered_by_the_hash_of_user_and_item(graph):
    history, times = [[1, 2, 9]], [[5, 6, 7]]
    nothing = np.full((1, 1), -1)
    orders = set()
    for user in range(12 if graph.has_ties else 1):
        users = np.array([user])
        items, _ = graph.run(padded(history), nothing, users, padded(times, 0))
        wanted = lab_lists(graph, history, [[]], [user], times).items_BK
        np.testing.assert_array_equal(items, wanted)
        orders.add(tuple(item for item in items[0].tolist() if item in TIED))
    assert (len(orders) > 1) == graph.has_ties


def test_a_list_does_not_depend_on_its_companions(graph):
    rng = np.random.default_rng(5)
    histories, times = drawn(rng, [1, graph.model.window, 3])
    users = np.array([1, 2, 3])
    together, _ = graph.run(padded(histories), padded(histories), users, padded(times, 0))
    for row, history in enumerate(histories):
        one = padded([history])
        alone, _ = graph.run(one, one, users[row : row + 1], padded([times[row]], 0))
        np.testing.assert_array_equal(alone[0], together[row])


def test_a_row_of_padding_is_finite_and_changes_no_other_row(graph):
    histories, times = [[1, 2], []], [[1, 2], []]
    users, nothing = np.array([0, 1]), np.full((2, 1), -1)
    items, scores = graph.run(padded(histories), nothing, users, padded(times, 0))
    alone, _ = graph.run(padded([[1, 2]]), nothing[:1], users[:1], padded([[1, 2]], 0))
    np.testing.assert_array_equal(items[0], alone[0])
    assert not np.isnan(scores).any()
    assert (items[1] >= 0).all() if graph.ranks_empty else (items[1] == -1).all()


def test_who_has_seen_nearly_everything(graph):
    seen = [[item for item in range(V) if item not in (7, 8)], list(range(V))]
    histories, times = [[1], [2]], [[1], [2]]
    items, scores = graph.run(padded(histories), padded(seen), np.array([0, 1]), padded(times, 0))
    assert sorted(items[0, :2].tolist()) == [7, 8]
    assert (items[0, 2:] == -1).all()
    assert (items[1] == -1).all()
    assert (scores[1] == -np.inf).all()


def test_more_events_than_the_window_are_an_error(graph):
    long = np.zeros((2, graph.model.window + 1), np.int64)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        graph.run(long, np.full((2, 1), -1), np.zeros(2, np.int64), long)


def test_the_opset_and_the_names_are_stated_and_no_path_of_a_machine_is_inside(graph):
    model = onnx.load(graph.path)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    assert [value.name for value in model.graph.output] == ["item_indices", "scores"]
    assert b"recsys_lab/" not in graph.path.read_bytes()


def test_nan_is_marked(graph, tmp_path):
    model = onnx.load(graph.path)
    for tensor in model.graph.initializer:
        is_float = tensor.data_type == onnx.TensorProto.FLOAT
        if is_float and tensor.dims and "items" not in tensor.name:
            values = onnx.numpy_helper.to_array(tensor) * np.float32("nan")
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "nan.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "nan.onnx")
    one = np.array([[1, 2]])
    arrays = (one, one, np.array([0]), one)
    names = [value.name for value in session.get_inputs()]
    items, scores = session.run(None, dict(zip(names, arrays, strict=False)))
    assert np.isnan(scores).all()
    assert (items == -1).all()


def test_ties_that_cross_the_end_of_a_list():
    """The traceable ranking equals `top_k` where most scores are equal."""
    from recsys_lab.deploy.export.program import best_items

    scores = torch.randint(0, 3, (4, 40), generator=torch.Generator().manual_seed(0)).float()
    users = torch.arange(4)
    for k in (1, 5, 39, 40):
        items, best = best_items(scores, k, users)
        lists = top_k(scores.clone(), k, None, users)
        assert torch.equal(items, lists.items_BK)
        assert torch.equal(best, lists.scores_BK)
