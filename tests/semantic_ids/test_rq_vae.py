"""RQ-VAE: what it learns, and each of its options."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch.nn import functional as F

from recsys_lab.semantic_ids.rq_vae import Alignment
from recsys_lab.semantic_ids.rq_vae_network import MovingCodebooks, RqVaeNetwork
from tests.semantic_ids.made import RQ_VAE, items, planted_tree, quantiser


def fitted(vectors, **options):
    return quantiser("rq_vae", **{**RQ_VAE, **options}).quantise(vectors)


@pytest.mark.parametrize(("codebook", "epochs"), [("ema", 12), ("gradient", 40)])
def test_a_planted_tree_is_recovered_with_all_codes_alive(codebook, epochs):
    at, vectors = planted_tree()
    codes = fitted(items(vectors), codebook=codebook, epochs=epochs)
    assert adjusted_rand_score(at[:, 0], codes.codes_VL[:, 0]) >= 0.95
    for level in range(3):
        assert len(np.unique(codes.codes_VL[:, level])) >= 0.9 * 8
    losses = codes.notes["loss_of_ten_epochs"]
    assert losses[-1] < losses[0]


def test_equal_seeds_make_equal_codes():
    _, vectors = planted_tree(num_items=200)
    codes, again = (fitted(items(vectors), epochs=3).codes_VL for _ in range(2))
    assert np.array_equal(codes, again)


def test_the_global_generator_is_left_alone():
    _, vectors = planted_tree(num_items=60)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted(items(vectors), epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"commitment_weight": 4.0},
        {"codebook": "gradient"},
        {"ema_decay": 0.5},
        {"latent_dim": 12},
        {"hidden_dims": []},
        {"learning_rate": 1e-2},
        {"batch_size": 64},
        {"epochs": 6},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_option_acts(change):
    _, vectors = planted_tree(num_items=200)
    options = [{}, change] if "epochs" in change else [{"epochs": 3}, {"epochs": 3, **change}]
    found = [fitted(items(vectors), **option).notes for option in options]
    assert found[0]["unexplained_variance"] != found[1]["unexplained_variance"]


def test_the_commitment_of_every_level_reaches_the_encoder():
    """A difference from code vectors that are not detached has no gradient at later levels."""
    torch.manual_seed(0)
    x = torch.randn(64, 6)
    network = RqVaeNetwork(6, [], 4)
    network.start(x, 3, 4, torch.Generator().manual_seed(0))
    for level in range(3):
        found = network.quantise(x)
        commitment = (found.left_NLD[:, level] - found.chosen_NLD[:, level].detach()).pow(2).mean()
        (gradient,) = torch.autograd.grad(commitment, network.encoder[0].weight)
        assert gradient.abs().max() > 1e-4


def test_straight_through_and_codebook_gradients_by_hand():
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    network = RqVaeNetwork(3, [], 3)
    network.start(x, 2, 4, torch.Generator().manual_seed(0))
    found = network.quantise(x)
    torch.testing.assert_close(found.latent_ND, found.chosen_NLD.sum(1))
    encoded = network.encoder(x)
    (through,) = torch.autograd.grad(found.latent_ND.sum(), network.encoder[0].bias)
    (direct,) = torch.autograd.grad(encoded.sum(), network.encoder[0].bias)
    torch.testing.assert_close(through, direct)
    model = quantiser("rq_vae", **{**RQ_VAE, "codebook": "gradient"})
    found = network.quantise(x)
    model.loss(found, x, x).backward()  # decoded without error
    first = found.codes_NL[:, 0] == 0
    error = (network.codebooks[0].detach()[0] - encoded.detach()[first]).sum(0)
    torch.testing.assert_close(network.codebooks[0].grad[0], 2 * error / (20 * 3))


def test_dead_codes_are_revived():
    torch.manual_seed(0)
    x = torch.randn(100, 4)
    network = RqVaeNetwork(4, [], 4)
    network.start(x, 2, 8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.codebooks[0][:3] = 1e4
    assert len(network.quantise(x).codes_NL[:, 0].unique()) == 5
    assert network.revive(x) == {0: [0, 1, 2]}
    assert len(network.quantise(x).codes_NL[:, 0].unique()) == 8


def test_codes_are_not_revived_with_equal_vectors():
    """Items with equal vectors, as of categories, are many: one code for each vector is enough."""
    torch.manual_seed(0)
    x = torch.randn(8, 4).repeat_interleave(50, 0)
    network = RqVaeNetwork(4, [], 4)
    network.start(x, 1, 8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.codebooks[0][1:] = 1e4
    assert network.revive(x) == {0: [1, 2, 3, 4, 5, 6, 7]}
    assert len(network.quantise(x).codes_NL.unique()) == 8


def test_moving_codebooks_end_at_the_means():
    torch.manual_seed(0)
    x = torch.cat([torch.randn(40, 2) * 0.1 + 5, torch.randn(60, 2) * 0.1 - 5])
    network = RqVaeNetwork(2, [], 2)
    network.start(x, 1, 2, torch.Generator().manual_seed(0))
    network.codebooks.requires_grad_(False)
    with torch.no_grad():
        encoded = network.encoder(x)
        network.codebooks[0] += 0.3
        moving = MovingCodebooks(list(network.codebooks), 0.5)
        for _ in range(60):
            moving.update(network.quantise(x))
    means = torch.stack([encoded[:40].mean(0), encoded[40:].mean(0)])
    order = network.quantise(x).codes_NL[[0, 99], 0]
    torch.testing.assert_close(network.codebooks[0][order], means, atol=1e-4, rtol=0)


def test_alignment_is_a_contrastive_loss_over_items_that_have_a_vector():
    torch.manual_seed(0)
    vectors = torch.randn(6, 5)
    vectors[2] = torch.nan
    alignment = Alignment(vectors, 3)
    latent = torch.randn(4, 3)
    rows = torch.tensor([0, 2, 5, 3])
    units = [F.normalize(vectors[row], dim=0) for row in (0, 5, 3)]
    expected = 0.0
    for place, row in enumerate((0, 2, 3)):
        logits = torch.stack([alignment.layer(latent[row]) @ unit for unit in units])
        expected -= logits.log_softmax(0)[place] / 3
    torch.testing.assert_close(alignment(latent, rows), expected)
    assert alignment(latent[:1], torch.tensor([2])) == 0


def test_aligned_codes_know_the_collaborative_groups():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, 300)
    collaborative = np.eye(4, dtype=np.float32)[group]
    vectors = rng.normal(size=(300, 12))
    vectors[:, 0] += group  # a weak trace of the groups
    options = {"levels": 1, "codes": 4, "epochs": 40}
    alone = fitted(items(vectors), **options).codes_VL[:, 0]
    aligned = fitted(items(vectors, aligned_VF=collaborative), align_weight=30.0, **options)
    scores = [adjusted_rand_score(group, codes) for codes in (alone, aligned.codes_VL[:, 0])]
    assert scores[1] > scores[0] + 0.1
