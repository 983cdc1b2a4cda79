"""Options of losses that sample, and what they must be told of the data."""

import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.losses.sampled_softmax import SampledSoftmaxLoss
from tests.losses.test_sampled import KINDS, case, make


@pytest.mark.parametrize("name", KINDS)
def test_a_power_of_popularity_that_is_not_read_is_refused(name):
    for sampling in ("uniform", "in_batch", "mixed"):
        with pytest.raises(UserError, match=rf"alpha: got 0\.5 with loss\.sampling={sampling}"):
            make(KINDS[name], name, sampling=sampling, alpha=0.5)
    make(KINDS[name], name, sampling="popularity", alpha=0.5)


def test_the_power_of_popularity_is_three_quarters_unless_given():
    states, targets, table = case()
    values = []
    for alpha in (None, 0.75, 0.1):
        loss = make(
            SampledSoftmaxLoss, "sampled_softmax", sampling="popularity", alpha=alpha,
            num_negatives=50,
        )  # fmt: skip
        torch.manual_seed(0)
        values.append(loss(states, targets, table).item())
    assert values[0] == values[1] != values[2]


def test_popularity_without_counts_is_an_error():
    loss = SampledSoftmaxLoss(
        SampledSoftmaxLoss.Config("popularity", 2, True, 1.0, False, 1.0, True)
    )
    with pytest.raises(ValueError, match=r"need the training counts of all 9 items"):
        loss(*case())


def test_draws_from_the_batch_without_the_number_of_targets_are_an_error():
    loss = make(SampledSoftmaxLoss, "sampled_softmax")
    assert not loss.reads_targets
    options = {"num_negatives": 2, "shared_negatives": True, "alpha": None, "cosine": False}
    for sampling in ("in_batch", "mixed"):
        config = SampledSoftmaxLoss.Config(sampling, **options, temperature=1.0, log_q=True)
        loss = SampledSoftmaxLoss(config)
        assert loss.reads_targets
        with pytest.raises(ValueError, match=r"need the expected number of targets of all 9"):
            loss(*case())
