"""BSARec: the filter against a Fourier transform, one target a history, no padding leak."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.data.batches import TrainingBatches
from recsys_lab.models.sequential.bsarec import low_pass
from tests.models.classical.formulas import causal_attention, gelu, norm, shake
from tests.models.test_contracts import LENGTHS, B, V, batch_of, histories, make


@pytest.mark.parametrize(("length", "cutoff"), [(50, 5), (50, 1), (9, 3), (8, 8), (8, 100), (1, 5)])
def test_low_pass_is_the_transform_without_its_higher_coefficients(length, cutoff):
    x = torch.randn(length, 3, dtype=torch.float64)
    coefficients = torch.fft.rfft(x, dim=0)
    coefficients[cutoff // 2 + 1 :] = 0
    expected = torch.fft.irfft(coefficients, n=length, dim=0)
    got = low_pass(length, cutoff).double() @ x
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def layer_by_formulas(block, x_LD, period):
    """Equations 8-11 of the paper on one history, its padding to the period in front."""
    padded = torch.cat([x_LD.new_zeros(period - len(x_LD), x_LD.shape[1]), x_LD])
    spectrum = torch.fft.fft(padded, dim=0)
    frequency = torch.fft.fftfreq(period, 1 / period).abs()
    spectrum[frequency > 5 // 2] = 0  # cutoff: 5
    low = torch.fft.ifft(spectrum, dim=0).mask[period - len(x_LD) :]
    filtered = low + block.high_scale**2 * (x_LD - low)
    mixed = 0.7 * norm(block.filter_norm, x_LD + filtered)
    attended = x_LD + causal_attention(block.attention, x_LD)
    mixed = mixed + (1 - 0.7) * norm(block.attention_norm, attended)
    first, _, second = block.feedforward
    fed = gelu(mixed @ first.weight.T + first.bias) @ second.weight.T + second.bias
    return norm(block.feedforward_norm, mixed + fed)


def test_states_equal_the_formulas():
    model = shake(make("bsarec", num_heads=2, filter_share=0.7, cutoff=5))
    given = histories()
    states_BD = model.query_states(batch_of(given))
    for state, history in zip(states_BD, given, strict=True):
        place = torch.arange(len(history)).flip(0)  # the latest event has place 0
        x_LD = norm(model.norm, model.items.weight[history] + model.positions.weight[place])
        for block in model.blocks:
            x_LD = layer_by_formulas(block, x_LD, period=9)
        torch.testing.assert_close(state, x_LD[-1])


def test_parameter_count_equals_the_closed_form():
    model = make("bsarec", num_layers=3)
    d, f, length = 16, 32, 9
    attention, fed = 4 * (d * d + d), (d * f + f) + (f * d + d)
    block = d + attention + fed + 3 * 2 * d  # a frequency scale, and three norms
    assert sum(p.numel() for p in model.parameters()) == V * d + length * d + 2 * d + 3 * block


def test_every_history_has_its_last_event_as_target():
    model = make("bsarec").eval()
    given = histories()
    states_BD, targets_B = model.training_states(batch_of(given))
    assert targets_B.tolist() == [history[-1] for history in given]
    before = model.query_states(batch_of([history[:-1] for history in given]))
    torch.testing.assert_close(states_BD, before)


def test_the_target_is_not_read():
    model = make("bsarec").eval()
    given = histories()
    before, _ = model.training_states(batch_of(given))
    changed = [[*history[:-1], (history[-1] + 1) % V] for history in given]
    after, _ = model.training_states(batch_of(changed))
    assert torch.equal(before, after)


def test_companions_in_the_batch_change_nothing():
    model = make("bsarec").eval()
    given = histories()
    together = model.query_states(batch_of(given))
    for row, history in enumerate(given):
        alone = model.query_states(batch_of([history]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-5)


def test_attention_alone_and_filter_alone():
    """Without a share for the filter no event sees later ones; with all of it they do."""
    for share, sees in ((0.0, False), (1.0, True)):
        block = make("bsarec", filter_share=share).eval().blocks[0]
        from recsys_lab.models.sequential.layers import PaddedLayout

        layout = PaddedLayout.of([6], torch.device("cpu"))
        x_TD = torch.randn(6, 16)
        before = block(x_TD, layout)
        x_TD[5] += 1
        after = block(x_TD, layout)
        assert torch.equal(before[:5], after[:5]) is not sees


def test_overfits_one_batch_and_reaches_every_parameter():
    model = make("bsarec", dropout=0.0, attention_dropout=0.0)
    batch = batch_of(histories())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(80):
        states_BD, targets_B = model.training_states(batch)
        loss = F.cross_entropy(states_BD @ model.item_table().T, targets_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 3
    assert losses[-1] < 0.3
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


class _Log:
    def __init__(self):
        ends = torch.tensor(LENGTHS).cumsum(0).numpy()
        self.items = torch.arange(sum(LENGTHS)).numpy().astype("int32")
        self.timestamps = None
        rows = zip(range(B), [0, *ends[:-1]], ends, strict=True)
        self._segments = torch.tensor([list(map(int, row)) for row in rows]).numpy()

    def segments(self, phase):
        assert phase == "train"
        return self._segments


def test_every_beginning_of_a_history_is_trained_on_once():
    batches = TrainingBatches(_Log(), batch_size=3, window=4, seed=0, prefixes=True, crop="sliding")
    seen = []
    for batch in batches:
        parts = batch.items_T.split(batch.lengths)
        seen += [(int(u), p.tolist()) for u, p in zip(batch.users_B, parts, strict=True)]
    start, expected = 0, []
    for user, length in enumerate(LENGTHS):
        history = list(range(start, start + length))
        expected += [(user, history[:end][-4:]) for end in range(2, length + 1)]
        start += length
    assert sorted(seen) == sorted(expected)
    assert batches.num_histories == len(expected)
    assert len(batches) == -(-len(expected) // 3)
