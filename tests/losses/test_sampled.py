"""Losses on a sample of the catalogue, against their formulas written densely."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional as F

from recsys_lab.losses import gathered_scores as picked_scores_module
from recsys_lab.losses.bce import BCELoss
from recsys_lab.losses.bpr import BPRLoss
from recsys_lab.losses.gathered_scores import gathered_scores, gathering_pays
from recsys_lab.losses.negatives import Negatives, NegativeSampler, negative_scores
from recsys_lab.losses.sampled_softmax import SampledSoftmaxLoss
from recsys_lab.losses.sce import SCELoss

CONFIGS = Path(__file__).parents[2] / "configs" / "loss"
KINDS = {"sampled_softmax": SampledSoftmaxLoss, "bce": BCELoss, "gbce": BCELoss, "bpr": BPRLoss}
N, V, D = 12, 9, 5
SAMPLINGS = ("uniform", "popularity", "in_batch", "mixed")


def make(kind, name, **options):
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    values.pop("_target_")
    loss = kind(kind.Config(**{**values, **options}))
    if hasattr(loss, "read_counts"):
        loss.read_counts(torch.arange(V))
        loss.read_targets(torch.arange(V))
    return loss


def case(seed=0):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(N, D, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randn(V, D, generator=generator, dtype=torch.float64).requires_grad_()
    return states, torch.randint(V, (N,), generator=generator), table


def dense(name, states, targets, table, items, log_expected, cosine, temperature):
    """Each position and each negative in a Python loop."""
    if cosine:
        states, table = F.normalize(states, dim=1), F.normalize(table, dim=1)
    scores = states @ table.T / temperature
    k = items.shape[-1]
    beta = 1.0
    if name == "gbce":
        a = min(1.0, k / (V - 1))
        beta = a * (0.75 * (1 - 1 / a) + 1 / a)
    losses = []
    for n in range(N):
        row = items if items.dim() == 1 else items[n]
        expected = log_expected if items.dim() == 1 else log_expected[n]
        positive = scores[n, targets[n]]
        others = [(scores[n, j], e) for j, e in zip(row, expected, strict=True) if j != targets[n]]
        if name == "sampled_softmax":
            rest = sum((s - e).exp() for s, e in others)
            losses.append(-(positive.exp() / (positive.exp() + rest)).log())
        elif name == "bpr":
            losses.append(-sum((torch.sigmoid(positive - s).log() for s, _ in others)) / k)
        else:
            rest = sum((1 - torch.sigmoid(s)).log() for s, _ in others)
            losses.append(-(beta * torch.sigmoid(positive).log() + rest) / (k + 1))
    return torch.stack([torch.as_tensor(loss) for loss in losses]).mean()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("k", "cosine", "temperature"), [(1, False, 1.0), (7, True, 0.2)])
def test_value_and_gradient(name, sampling, shared, k, cosine, temperature):
    options = {
        "sampling": sampling,
        "num_negatives": k,
        "shared_negatives": shared,
        "cosine": cosine,
        "temperature": temperature,
    }
    loss = make(KINDS[name], name, **options)
    states, targets, table = case()
    sampler = NegativeSampler(sampling, k, shared=shared, alpha=0.75)
    sampler.read_counts(torch.arange(V))
    sampler.read_targets(torch.arange(V))
    torch.manual_seed(3)
    drawn = sampler.draw(targets, V)
    torch.manual_seed(3)
    value = loss(states, targets, table)
    want = dense(name, states, targets, table, drawn.items, drawn.log_expected, cosine, temperature)
    torch.testing.assert_close(value, want)
    got = torch.autograd.grad(value, (states, table))
    for mine, reference in zip(got, torch.autograd.grad(want, (states, table)), strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_draws_follow_the_stated_chances(sampling):
    k = 200_000
    sampler = NegativeSampler(sampling, k, shared=True, alpha=0.5)
    counts = torch.tensor([0, 1, 2, 4, 8])
    sampler.read_counts(counts)
    sampler.read_targets(counts)
    torch.manual_seed(0)
    targets = torch.tensor([1, 2, 2, 3, 3, 3, 3] + [4] * 8)  # as often as in training
    drawn = sampler.draw(targets, 5)
    seen = torch.bincount(drawn.items, minlength=5) / k
    weights = torch.tensor([0.5, 1, 2, 4, 8])
    popular = weights.sqrt() / weights.sqrt().sum()
    events = counts / counts.sum()
    chance = {
        "uniform": torch.full((5,), 0.2),
        "popularity": popular,
        "in_batch": events,
        "mixed": 0.5 * 0.2 + 0.5 * events,
    }[sampling]
    torch.testing.assert_close(seen, chance, atol=5e-3, rtol=0)
    if sampling in ("uniform", "popularity"):  # the correction knows the chances themselves
        expected = (drawn.log_expected.exp() / k)[:50]
        torch.testing.assert_close(expected, chance[drawn.items[:50]], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("k", [1, 4, 5])
def test_the_correction_is_the_mean_number_of_draws(sampling, shared, k):
    """Over many steps of batches whose targets are as often as was told."""
    counts = torch.tensor([1, 2, 3, 6, 12])
    sampler = NegativeSampler(sampling, k, shared=shared, alpha=0.5)
    sampler.read_counts(counts)
    sampler.read_targets(counts)
    torch.manual_seed(0)
    steps, positions = 1500, 6
    sets = steps * (1 if shared else positions)
    seen, stated = torch.zeros(5), torch.full((5,), torch.nan)
    for _ in range(steps):
        targets = torch.multinomial(counts.float(), positions, replacement=True)
        drawn = sampler.draw(targets, 5)
        seen += torch.bincount(drawn.items.flatten(), minlength=5) / sets
        stated[drawn.items.flatten()] = drawn.log_expected.exp().flatten()
    torch.testing.assert_close(seen, stated, atol=0.04 * k, rtol=0)
    assert float(stated.sum()) == pytest.approx(k, rel=1e-5)
    from_batch = {"in_batch": k, "mixed": k // 2}.get(sampling)  # the rest is uniform
    if from_batch is not None:
        expected = (k - from_batch) / 5 + from_batch * counts / 24
        torch.testing.assert_close(stated, expected)


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_the_corrected_sum_is_that_of_the_whole_catalogue(sampling):
    states, targets, table = case(1)
    many = make(SampledSoftmaxLoss, "sampled_softmax", sampling=sampling, num_negatives=300_000)
    torch.manual_seed(0)
    full = F.cross_entropy(states @ table.T, targets)
    torch.testing.assert_close(many(states, targets, table), full, atol=5e-3, rtol=0)


def test_gbce_with_all_negatives_is_bce():
    states, targets, table = case()
    plain = make(BCELoss, "bce", num_negatives=V - 1)
    general = make(BCELoss, "gbce", num_negatives=V - 1, shared_negatives=False)
    values = []
    for loss in (plain, general):
        torch.manual_seed(1)
        values.append(loss(states, targets, table))
    torch.testing.assert_close(*values)


def test_a_collision_counts_as_nothing():
    states, _, table = case()
    targets = torch.zeros(N, dtype=torch.long)
    only_targets = Negatives(torch.zeros(1, dtype=torch.long), torch.zeros(1))
    scores = negative_scores(states, only_targets, targets, table, cosine=False)
    assert torch.isneginf(scores).all()
    loss = make(SampledSoftmaxLoss, "sampled_softmax", sampling="in_batch", num_negatives=3)
    value = loss(states, targets, table)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, (states, table)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_scores_picked_from_blocks_are_those_of_vectors_looked_up(monkeypatch, rows):
    states, _, table = (x.double() if x.is_floating_point() else x for x in case())
    monkeypatch.setitem(picked_scores_module._BLOCK_BYTES, "cpu", rows * V * states.itemsize)
    items = torch.randint(V, (N, 2 * V))  # some twice
    assert gathering_pays(items, table)
    assert torch.autograd.gradcheck(lambda s, t: gathered_scores(s, t, items), (states, table))
    looked_up = torch.einsum("nd,nkd->nk", states, table[items])
    torch.testing.assert_close(gathered_scores(states, table, items), looked_up)


def test_sparse_gradients_equal_the_dense_ones():
    states, targets, table = case()
    gradients = []
    for sparse in (False, True):
        loss = make(SampledSoftmaxLoss, "sampled_softmax", num_negatives=4)
        loss.sparse = sparse
        torch.manual_seed(0)
        (gradient,) = torch.autograd.grad(loss(states, targets, table), table)
        assert gradient.is_sparse == sparse
        gradients.append(gradient.to_dense())
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("mix", [True, False])
def test_sce_with_one_bucket_of_everything_is_the_full_softmax(mix):
    states, targets, table = case()
    options = {"bucket_states": N, "bucket_items": V, "mix": mix}
    for buckets in (1, 4):  # the same items in each bucket: the worst is any
        loss = make(SCELoss, "sce", num_buckets=buckets, **options)
        value = loss(states, targets, table)
        want = F.cross_entropy(states @ table.T, targets)
        torch.testing.assert_close(value, want)
        got = torch.autograd.grad(value, (states, table), retain_graph=True)
        reference = torch.autograd.grad(want, (states, table))
        for mine, other in zip(got, reference, strict=True):
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("mix", [True, False])
def test_sce_by_loops(cosine, mix):
    states, targets, table = case()
    loss = make(
        SCELoss, "sce", num_buckets=3, bucket_states=4, bucket_items=3, mix=mix, cosine=cosine,
        temperature=0.5,
    )  # fmt: skip
    torch.manual_seed(5)
    value = loss(states, targets, table)
    torch.manual_seed(5)
    inputs, outputs = states, table
    if cosine:
        inputs = torch.stack([state / state.norm() for state in states])
        outputs = torch.stack([vector / vector.norm() for vector in table])
    drawn = torch.randn(3, N if mix else D).double()
    worst: dict[int, torch.Tensor] = {}
    for direction in drawn @ inputs.detach() if mix else drawn:
        inside = (inputs @ direction).argsort(descending=True)[:4].tolist()
        items = (outputs @ direction).argsort(descending=True)[:3].tolist()
        for n in inside:
            shown = [int(targets[n]), *(i for i in items if i != targets[n])]
            scores = torch.stack([inputs[n] @ outputs[i] / 0.5 for i in shown])
            one = F.cross_entropy(scores.unsqueeze(0), torch.tensor([0]))
            worst[n] = max(one, worst.get(n, one))
    assert 4 < len(worst) < 12  # some states are in several buckets, some in none
    want = torch.stack(list(worst.values())).mean()
    torch.testing.assert_close(value, want)
    got = torch.autograd.grad(value, (states, table))
    for mine, reference in zip(got, torch.autograd.grad(want, (states, table)), strict=True):
        torch.testing.assert_close(mine, reference)


def test_sce_with_cosine_reads_no_length():
    states, targets, table = case()
    values = []
    for scale in (1.0, 7.0):
        loss = make(SCELoss, "sce", bucket_states=N, bucket_items=V, cosine=True)
        values.append(loss(scale * states, targets, table / scale))
    cosines = F.cosine_similarity(states.unsqueeze(1), table.unsqueeze(0), dim=2)
    temperature = loss.config.temperature
    torch.testing.assert_close(values[0], F.cross_entropy(cosines / temperature, targets))
    torch.testing.assert_close(*values)
