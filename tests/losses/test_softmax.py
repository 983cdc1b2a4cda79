"""The blocked softmax against the plain one, in value and gradients."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.losses import softmax
from recsys_lab.losses.fused_softmax import Blocking, FusedSoftmax
from recsys_lab.losses.softmax import SoftmaxLoss, uses_liger


def case(n, v, d, dtype=torch.float64, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    states = scale * torch.randn(n, d, generator=generator, dtype=dtype)
    table = torch.randn(v, d, generator=generator, dtype=dtype)
    targets = torch.randint(v, (n,), generator=generator)
    return states.requires_grad_(), targets, table.requires_grad_()


def plain(states, targets, table):
    return F.cross_entropy(states @ table.T, targets)


def fused(blocking: Blocking):
    def loss(states, targets, table):
        buffer = states.new_empty(blocking.rows * table.shape[0])
        return FusedSoftmax.apply(states, targets, table, blocking, buffer)

    return loss


def value_and_gradients(loss, states, targets, table, factor=1.0):
    value = loss(states, targets, table)
    return value.detach(), *torch.autograd.grad(factor * value, (states, table))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 20), st.integers(2, 40), st.integers(1, 9), st.integers(1, 25),
    st.integers(1, 45), st.integers(0, 10**6), st.sampled_from([1.0, 0.3, -2.0]),
)  # fmt: skip
def test_equal_to_the_plain_loss_at_every_block_shape(n, v, d, rows, columns, seed, factor):
    states, targets, table = case(n, v, d, seed=seed)
    blocking = Blocking(rows, min(columns, v))
    mine = value_and_gradients(fused(blocking), states, targets, table, factor)
    reference = value_and_gradients(plain, states, targets, table, factor)
    for got, expected in zip(mine, reference, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-10)


def make(temperature=1.0, memory=512, cosine=False) -> SoftmaxLoss:
    return SoftmaxLoss(SoftmaxLoss.Config(cosine, temperature, memory, "auto"))


def test_float32_close_to_float64():
    states, targets, table = case(300, 5000, 16, torch.float32)
    mine = value_and_gradients(make(memory=1), states, targets, table)
    exact = value_and_gradients(plain, states.double(), targets, table.double())
    for got, expected in zip(mine, exact, strict=True):
        torch.testing.assert_close(got.double(), expected, atol=1e-6, rtol=1e-4)


def test_temperature_divides_the_logits():
    states, targets, table = case(7, 20, 4)
    mine = value_and_gradients(make(temperature=0.2), states, targets, table)
    reference = value_and_gradients(lambda s, y, t: plain(s / 0.2, y, t), states, targets, table)
    for got, expected in zip(mine, reference, strict=True):
        torch.testing.assert_close(got, expected)


def test_huge_logits_stay_finite():
    """A target whose probability underflows has the loss (largest - its own logit)."""
    table = torch.tensor([[500.0], [-500.0]])
    loss = make()(torch.tensor([[1.0]]), torch.tensor([1]), table)
    assert float(loss) == 1000.0


def test_gradcheck():
    states, targets, table = case(5, 11, 3)
    assert torch.autograd.gradcheck(fused(Blocking(2, 4)), (states, targets, table))


@pytest.mark.parametrize("which", [0, 2])
def test_one_gradient_alone(which):
    inputs = list(case(6, 9, 4))
    inputs[2 - which] = inputs[2 - which].detach()
    (mine,) = torch.autograd.grad(fused(Blocking(4, 5))(*inputs), inputs[which])
    (reference,) = torch.autograd.grad(plain(*inputs), inputs[which])
    torch.testing.assert_close(mine, reference)


def test_without_gradients_and_with_strided_inputs():
    states, targets, table = case(6, 9, 4)
    with torch.no_grad():
        strided = table.T.contiguous().T, states.repeat(1, 2)[:, :4]
        torch.testing.assert_close(
            make()(strided[1], targets, strided[0]), plain(states, targets, table)
        )


def test_same_bits_again_and_after_other_shapes():
    loss, (states, targets, table) = make(), case(50, 200, 8, torch.float32)
    first = value_and_gradients(loss, states, targets, table)
    loss(*case(90, 300, 8, torch.float32))
    again = value_and_gradients(loss, states, targets, table)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_autocast_keeps_full_precision():
    states, targets, table = case(20, 50, 8, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = make()(states.bfloat16(), targets, table)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, plain(states.bfloat16().float(), targets, table))


@pytest.mark.parametrize("bad", [-1, 9])
def test_target_outside_the_table_is_refused(bad):
    states, targets, table = case(3, 9, 2)
    targets[1] = bad
    with pytest.raises(ValueError, match="expected items from 0 to 8"):
        make()(states, targets, table)


def test_no_positions_are_refused():
    states, targets, table = case(3, 9, 2)
    with pytest.raises(ValueError, match="no supervised positions"):
        make()(states[:0], targets[:0], table)


def test_states_and_targets_must_be_as_many():
    states, targets, table = case(3, 9, 2)
    with pytest.raises(ValueError, match="got 3 states and 2 targets"):
        make()(states, targets[:2], table)


def test_second_derivative_is_refused():
    """It would leave out the Hessian: a wrong number without a word."""
    states, targets, table = case(6, 9, 4)
    value = make()(states, targets, table)
    (first,) = torch.autograd.grad(value**2, states, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.sum().backward()


def test_gradients_of_two_losses_that_share_the_buffer():
    loss, one, two = make(), case(6, 9, 4), case(5, 12, 4, seed=3)
    leaves = (one[0], one[2], two[0], two[2])
    mine = torch.autograd.grad(loss(*one) + 3 * loss(*two), leaves)
    reference = torch.autograd.grad(plain(*one) + 3 * plain(*two), leaves)
    for got, expected in zip(mine, reference, strict=True):
        torch.testing.assert_close(got, expected)


def test_tied_table_and_kept_graph():
    """States made from the table; a second backward must not see changes to the first's."""
    _, targets, table = case(12, 30, 8)
    read = torch.arange(12) % 7
    (expected,) = torch.autograd.grad(plain(2 * table[read], targets, table), table)
    value = make()(2 * table[read], targets, table)
    value.backward(retain_graph=True)
    torch.testing.assert_close(table.grad, expected)
    table.grad.zero_()
    value.backward()
    torch.testing.assert_close(table.grad, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_budget_counts_the_bytes_of_the_type(dtype):
    loss = make(memory=1)
    loss(*case(300, 5000, 4, dtype))
    assert 0.9 * 2**20 < loss._buffer.nbytes <= 2**20


@pytest.mark.parametrize("num_items", [10, 3417, 100_000, 1_000_000, 50_000_000])
def test_buffer_stays_within_the_budget(num_items):
    blocking = Blocking.choose(num_items, 512 << 20)
    assert blocking.rows >= 1
    assert blocking.rows * num_items * 4 <= max(512 << 20, 4 * num_items)
    assert 1 <= blocking.columns <= num_items


def test_memory_does_not_grow_with_positions_times_items():
    """The plain loss would hold 8,000 x 20,000 floats (610 MiB) twice; this stays far below."""
    code = (
        "import resource, torch\n"
        "from tests.losses.test_softmax import case, make\n"
        "inputs = case(8000, 20000, 4, torch.float32)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "make(memory=16)(*inputs).backward()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150 * 1024  # KiB


def test_cosine_scales_both_sides_to_length_one():
    states, targets, table = case(7, 20, 4)
    mine = value_and_gradients(make(temperature=0.1, cosine=True), states, targets, table)

    def dense(s, y, t):
        return F.cross_entropy(F.cosine_similarity(s[:, None], t[None], dim=2) / 0.1, y)

    for got, expected in zip(mine, value_and_gradients(dense, states, targets, table), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.fixture
def machine(monkeypatch):
    """Sets whether liger-kernel is installed, and what happens when its kernel is tried."""

    def is_(*, installed: bool, error: Exception | None = None) -> None:
        def tried(_device: str) -> None:
            if error:
                raise error

        softmax.why_not_liger.cache_clear()
        monkeypatch.setattr(softmax, "find_spec", lambda _: installed or None)
        monkeypatch.setattr(softmax, "_try_liger", tried)

    yield is_
    softmax.why_not_liger.cache_clear()


def test_the_fused_kernel_is_for_cuda(machine):
    machine(installed=False)
    assert not uses_liger("auto", "cuda")
    with pytest.raises(UserError, match=r"kernel: got liger, but liger-kernel is not installed"):
        uses_liger("liger", "cuda")
    machine(installed=True)
    assert uses_liger("auto", "cuda")
    assert not uses_liger("blocks", "cuda")
    assert not uses_liger("auto", "cpu")
    with pytest.raises(UserError, match=r"kernel: got liger, but there is no CUDA device"):
        uses_liger("liger", "cpu")


def test_without_a_compiler_auto_is_blocks_and_says_so(machine, caplog):
    machine(installed=True)
    loss = SoftmaxLoss(SoftmaxLoss.Config(False, 1.0, 64, "auto"))
    loss.check_device("cuda")
    assert loss.resolved("cuda") == {"loss.kernel": "liger"}
    assert not caplog.messages
    machine(installed=True, error=RuntimeError("Failed to find C compiler. Please specify via CC"))
    loss.check_device("cuda")
    assert loss.resolved("cuda") == {"loss.kernel": "blocks"}
    [said] = caplog.messages
    assert said.startswith(
        "loss.kernel=auto: blocks instead of liger, as Triton cannot compile it here (Failed to "
        "find C compiler. Please specify via CC); install a C compiler"
    )
    chosen = SoftmaxLoss(SoftmaxLoss.Config(False, 1.0, 64, "liger"))
    with pytest.raises(UserError, match=r"got liger, but Triton cannot compile it here"):
        chosen.check_device("cuda")
    assert chosen.resolved("cpu") == {}


@pytest.mark.cuda
def test_the_fused_kernel_gives_the_same():
    states, targets, table = (x.detach().cuda() for x in case(300, 5000, 64, torch.float32))
    states.requires_grad_(), table.requires_grad_()
    found = []
    for kernel in ("blocks", "liger"):
        loss = SoftmaxLoss(SoftmaxLoss.Config(False, 1.0, 64, kernel))
        found.append(value_and_gradients(loss, states, targets, table))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
