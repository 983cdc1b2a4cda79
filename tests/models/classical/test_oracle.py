"""The oracle ranks by the true probabilities, and nothing ranks better."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import Batch, FittedModel
from recsys_lab.models.classical.oracle import Oracle

TRUE_BV = torch.tensor([[0.1, 0.6, 0.3, 0.0], [0.25, 0.05, 0.2, 0.5]])
BATCH = Batch(
    users_B=torch.tensor([4, 9]),
    items_T=torch.tensor([0, 1, 2]),
    offsets=torch.tensor([0, 1, 3]),
    lengths=(1, 2),
)


class KnownData:
    num_items = 4
    num_users = 2

    def training_item_counts(self):
        return np.ones(4, dtype=np.int64)

    def truth(self):
        return SimpleNamespace(next_item_probabilities=lambda batch: TRUE_BV[: batch.size].clone())


class RealData(KnownData):
    def truth(self):
        return None


def oracle():
    return Oracle(Oracle.Config(), num_items=4)


def test_ranks_by_probability():
    model = oracle()
    assert isinstance(model, FittedModel)
    model.fit(KnownData())
    lists = model.recommend(BATCH, 3, None)
    assert lists.items_BK.tolist() == [[1, 2, 0], [3, 0, 2]]
    torch.testing.assert_close(lists.scores_BK, torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.25, 0.2]]))


def test_excluded_items_are_left_out():
    model = oracle()
    model.fit(KnownData())
    exclude = (torch.tensor([0, 1]), torch.tensor([1, 3]))
    assert model.recommend(BATCH, 2, exclude).items_BK.tolist() == [[2, 0], [0, 2]]
    # The truth itself is untouched: the next call ranks as before.
    assert model.recommend(BATCH, 1, None).items_BK.tolist() == [[1], [3]]


def test_stored_and_loaded_it_is_the_same():
    model, again = oracle(), oracle()
    model.fit(KnownData())
    assert model.arrays() == {}
    again.load_arrays(model.arrays(), KnownData())
    assert torch.equal(
        again.recommend(BATCH, 4, None).items_BK, model.recommend(BATCH, 4, None).items_BK
    )


def test_reads_whole_histories():
    assert Oracle.window is None


def test_real_data_are_refused():
    for learn in (lambda: oracle().fit(RealData()), lambda: oracle().load_arrays({}, RealData())):
        with pytest.raises(UserError) as error:
            learn()
        assert str(error.value) == (
            "model=oracle ranks by the true next-item probabilities, which are not known for these "
            "data; use synthetic data: data=synthetic_shop"
        )
