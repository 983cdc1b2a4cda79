"""Every architecture of the transformers library that the lab names."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.cli.main import run_command
from recsys_lab.models.sequential.architectures import ARCHITECTURES
from recsys_lab.models.sequential.layers import PaddedLayout
from tests.models.test_contracts import V, batch_of, histories, make

CAUSAL = [name for name, found in ARCHITECTURES.items() if found.causal]
CLOZE = [name for name, found in ARCHITECTURES.items() if not found.causal]


def small(name, **changes):
    objective = "next_item" if name in CAUSAL else "cloze"
    options = {"num_layers": 2 if name == "rwkv" else 1, "dropout": 0.0, "objective": objective}
    return make("transformer", **{**options, "architecture": name, **changes})


def short(seed=0):
    """Histories that leave room for a hidden event."""
    return [history[-8:] for history in histories(seed)]


@pytest.mark.parametrize("name", CAUSAL)
def test_future_changes_nothing_before(name):
    model, given = small(name).eval(), short()
    before, _ = model.training_states(batch_of(given))
    given[2][6] = (given[2][6] + 1) % V
    after, _ = model.training_states(batch_of(given))
    start = sum(len(history) - 1 for history in given[:2])
    torch.testing.assert_close(before[: start + 6], after[: start + 6], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(before[start + 6], after[start + 6], atol=1e-4)


@pytest.mark.parametrize("name", CLOZE)
def test_a_hidden_event_is_not_read_and_both_sides_are(name):
    model = small(name).eval()

    def state(items):
        batch = batch_of([items])
        hidden_T = torch.tensor([False, False, True, False, False])
        x_TD = torch.where(hidden_T[:, None], model.hidden_event, model.embed(batch))
        return model._states(x_TD, PaddedLayout.of(batch.lengths, x_TD.device))[2]

    before = state([1, 2, 3, 4, 5])
    assert torch.equal(before, state([1, 2, 9, 4, 5]))
    for changed in ([8, 2, 3, 4, 5], [1, 2, 3, 4, 8]):
        assert not torch.allclose(before, state(changed), atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_companions_in_the_batch_change_nothing(name):
    model, given = small(name).eval(), short()
    together = model.query_states(batch_of(given))
    for row, history in enumerate(given):
        alone = model.query_states(batch_of([history]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CAUSAL)
def test_query_state_is_the_training_state_of_that_place(name):
    model, given = small(name).eval(), short()
    states_ND, _ = model.training_states(batch_of([[*given[0], 0]]))
    query_BD = model.query_states(batch_of(given[:1]))
    torch.testing.assert_close(query_BD[0], states_ND[-1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_learns_one_batch_and_reaches_every_parameter(name):
    model, batch = small(name), batch_of(short())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        torch.manual_seed(1)  # the same events are hidden
        states_ND, targets_N = model.training_states(batch)
        loss = F.cross_entropy(states_ND @ model.item_table().T, targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name
    assert not [key for key in model.state_dict() if "word" in key or "wte" in key]


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "t5"])
def test_overfits_one_batch(name):
    model, batch = small(name), batch_of(short())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        torch.manual_seed(1)  # the same events are hidden
        states_ND, targets_N = model.training_states(batch)
        scores_NV = states_ND @ model.item_table().T
        loss = F.cross_entropy(scores_NV, targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 3
    assert losses[-1] < 0.1 * losses[0]
    assert torch.equal(scores_NV.argmax(1), targets_N)


NOT_OF_THE_ENCODER = ("classif", "summary", "qa_", "cls_")  # of heads that are left out


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_dropout_of_the_encoder_is_set(name):
    config = small(name, dropout=0.3).blocks[0].config.to_dict()
    rates = {key: v for key, v in config.items() if "drop" in key and "layerdrop" not in key}
    rates = {key: v for key, v in rates.items() if not any(p in key for p in NOT_OF_THE_ENCODER)}
    rates.pop("embd_pdrop" if name == "phi3" else "", None)  # phi3 never reads it
    assert set(rates) == set(ARCHITECTURES[name].dropouts)
    assert set(rates.values()) <= {0.3}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dropout_is_of_training_alone(name):
    x_TD, layout = torch.randn(6, 16), PaddedLayout.of([6], torch.device("cpu"))
    model = small(name, dropout=0.5)
    assert not torch.allclose(model._states(x_TD, layout), model._states(x_TD, layout))
    model.eval()
    assert torch.equal(model._states(x_TD, layout), model._states(x_TD, layout))


# OPT adds positions to what is dropped, and ALBERT a linear layer: nothing is zero any more.
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("opt", "albert")])
def test_what_enters_is_dropped_once(name):
    model, entered = small(name, dropout=0.5), []
    layers = next(m for m in model.blocks[0].modules() if isinstance(m, torch.nn.ModuleList))
    layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: entered.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    model._states(torch.randn(9 * 40, 16), PaddedLayout.of([9] * 40, torch.device("cpu")))
    share = float((entered[0] == 0).float().mean())
    assert abs(share - 0.5) < 4 * (0.25 / (9 * 40 * 16)) ** 0.5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_stored_and_loaded_it_recommends_the_same(name, tmp_path):
    from safetensors.torch import load_file, save_file

    model = small(name).eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "m")
    other = small(name)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    other.load_state_dict(load_file(tmp_path / "m"))
    with torch.inference_mode():
        mine = model.recommend(batch_of(short()), 5, None)
        theirs = other.eval().recommend(batch_of(short()), 5, None)
    assert torch.equal(mine.items_BK, theirs.items_BK)
    assert torch.equal(mine.scores_BK, theirs.scores_BK)


def test_ranking_changes_no_weight_of_a_deep_rwkv():
    """Unasked, the library halves the weights of its later layers whenever it ranks."""
    model = small("rwkv", num_layers=8).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        model.query_states(batch_of(short()))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_trains_from_the_command_line(name, tmp_path, capsys):
    objective = "next_item" if name in CAUSAL else "cloze"
    arguments = [
        "train", "model=transformer", f"model.architecture={name}", f"model.objective={objective}",
        "model.hidden_dim=16", "model.num_layers=2",
        "model.max_length=10", "data.num_users=60", "data.num_items=30", "recipe.max_epochs=1",
        "tracking=none", f"prepared_dir={tmp_path / 'prepared'}", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert run_command(arguments) == 0
    assert "(test)" in capsys.readouterr().out  # a heading, which may fill two lines
