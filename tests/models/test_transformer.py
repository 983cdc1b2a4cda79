"""Every architecture of the transformers library that the lab names."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.models.architectures import ARCHITECTURES
from recsys_lab.models.layers import Rectangle
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
        return model._states(x_TD, Rectangle.of(batch.lengths, x_TD.device))[2]

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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_trains_from_the_command_line(name, tmp_path, capsys):
    objective = "next_item" if name in CAUSAL else "cloze"
    arguments = [
        "train", "model=transformer", f"model.architecture={name}", f"model.objective={objective}",
        "model.hidden_dim=16", "model.feedforward_dim=16", "model.num_layers=2",
        "model.max_length=10", "data.num_users=60", "data.num_items=30", "recipe.max_epochs=1",
        "tracking=none", f"prepared_dir={tmp_path / 'prepared'}", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert run_command(arguments) == 0
    assert "Transformer (test)" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "reference"), [("gpt2", "GPT2Model"), ("bert", "BertModel")])
def test_states_are_those_of_the_library_s_own_model(name, reference):
    import transformers

    model = small(name).eval()
    own = getattr(transformers, reference)(model.blocks[0].config).eval()
    own.load_state_dict(model.blocks[0].state_dict(), strict=False)
    x_BLD = torch.randn(1, 6, 16)
    expected = own(inputs_embeds=x_BLD).last_hidden_state[0]
    rectangle = Rectangle.of([6], x_BLD.device)
    torch.testing.assert_close(model._states(x_BLD[0], rectangle), expected)


def stored(tmp_path, name="gpt2", width=16):
    model = small(name, hidden_dim=width)
    model.blocks[0].set_input_embeddings(torch.nn.Embedding(2, width))
    model.blocks[0].save_pretrained(tmp_path / name)
    return str(tmp_path / name), model


def test_stored_weights_are_read(tmp_path):
    folder, model = stored(tmp_path)
    other = small("gpt2", pretrained=folder)
    theirs = dict(model.blocks[0].named_parameters())
    for key, mine in other.blocks[0].named_parameters():
        assert torch.equal(mine, theirs[key]), key
    narrower = small("gpt2", pretrained=folder, hidden_dim=6)
    states_ND, _ = narrower.training_states(batch_of(short()))
    assert states_ND.shape[1] == 6


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama"])
def test_lora_trains_small_matrices_alone(name, tmp_path):
    folder, _ = stored(tmp_path, name)
    model = small(name, pretrained=folder, adapt="lora", lora_rank=2)
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    inside = {key for key in trained if key.startswith("blocks.")}
    assert inside
    assert all("lora_" in key for key in inside)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    batch = batch_of(short())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        states_ND, targets_N = model.training_states(batch)
        optimizer.zero_grad()
        F.cross_entropy(states_ND @ model.item_table().T, targets_N).backward()
        optimizer.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert moved == trained


def test_frozen_weights_stay(tmp_path):
    folder, _ = stored(tmp_path)
    model = small("gpt2", pretrained=folder, adapt="frozen")
    assert {key for key, p in model.named_parameters() if p.requires_grad} == {"items.weight"}


def test_refusals(tmp_path):
    with pytest.raises(UserError, match=r"architecture: got 'lama'; did you mean 'llama'"):
        small("gpt2", architecture="lama")
    with pytest.raises(UserError, match=r"next_item.*bert, which sees later events.*use.*cloze"):
        small("bert", objective="next_item")
    with pytest.raises(UserError, match=r"cloze.*llama, which sees no later.*use.*next_item"):
        small("llama", objective="cloze")
    with pytest.raises(UserError, match=r"hidden_dim: got 16, which 3 heads cannot share"):
        small("gpt2", num_heads=3)
    with pytest.raises(UserError, match=r"adapt: got lora without model\.pretrained"):
        small("gpt2", adapt="lora")
    with pytest.raises(UserError, match=r"rwkv needs at least 2 layers"):
        small("rwkv", num_layers=1)
    with pytest.raises(UserError, match=r"model\.pretrained: cannot load '.*nothing'"):
        small("gpt2", pretrained=str(tmp_path / "nothing"))
    folder, _ = stored(tmp_path)
    with pytest.raises(
        UserError, match=r"got llama, and .* is a gpt2; use model\.architecture=gpt2"
    ):
        small("llama", pretrained=folder)
