"""Weights on other data: the rows of items and of values of columns are those of equal raw ids."""

import numpy as np
import pytest
import torch

from recsys_lab.config import build
from recsys_lab.experiment.matched_weights import match_rows, matched
from tests.models.test_contracts import NAMES, V, batch_of, make, options

MORE = V + 3
OLD_OF_NEW = np.random.default_rng(5).permutation(np.r_[np.arange(V), [-1, -1, -1]])
"""Index in the older catalogue of each item of the newer one, in another order and three more."""


@pytest.mark.parametrize("name", NAMES)
def test_known_items_have_the_scores_they_had(name):
    old = make(name).eval()
    torch.manual_seed(1)
    new = build(options(name), num_items=MORE).eval()
    begun = {key: value.clone() for key, value in new.state_dict().items()}
    weights = old.state_dict()
    match_rows(new, weights, OLD_OF_NEW, None, None)
    new.load_state_dict(weights)
    new_of_old = np.argsort(OLD_OF_NEW)[3:]
    before = [[3, 1, 7], [20, 5], [39, 0, 2, 4, 11]]
    after = [new_of_old[history].tolist() for history in before]
    with torch.no_grad():
        states_BD, again_BD = (
            model.query_states(batch_of(items)) for model, items in ((old, before), (new, after))
        )
        assert torch.equal(states_BD, again_BD)
        scores_BV = states_BD @ old.item_table().T
        again_BV = (again_BD @ new.item_table().T)[:, new_of_old]
        torch.testing.assert_close(again_BV, scores_BV, rtol=1e-6, atol=1e-6)
    fresh = torch.from_numpy(OLD_OF_NEW < 0)
    mean_D = old.items.weight.mean(0)
    expected = begun["items.weight"][fresh] + mean_D
    torch.testing.assert_close(new.items.weight.detach()[fresh], expected.detach())


def test_ids_are_compared_as_text():
    assert matched([7, 8, 10], ["10", "a7", "7"]).tolist() == [2, -1, 0]
