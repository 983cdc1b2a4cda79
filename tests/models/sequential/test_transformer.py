"""Every architecture of the transformers library that the lab names."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
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


def test_stored_half_precision_is_trained_in_float32(tmp_path):
    folder, model = stored(tmp_path, "llama")
    model.blocks[0].to(torch.bfloat16).save_pretrained(folder)
    other = small("llama", pretrained=folder)
    assert {p.dtype for p in other.parameters()} == {torch.float32}
    assert other.training_states(batch_of(short()))[0].dtype == torch.float32


def test_the_rates_of_stored_weights_are_replaced(tmp_path):
    folder, _ = stored(tmp_path)
    config = small("gpt2", pretrained=folder, dropout=0.25).blocks[0].config
    assert (config.attn_pdrop, config.resid_pdrop, config.embd_pdrop) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("name", "option", "width_out"),
    [("electra", "embedding_size", 16), ("albert", "embedding_size", 16),
     ("opt", "word_embed_proj_dim", 4)],
)  # fmt: skip
def test_encoders_that_read_narrower_vectors_than_their_layers(name, option, width_out, tmp_path):
    from transformers import AutoModel

    config = small(name).blocks[0].config
    setattr(config, option, 4)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    for hidden_dim in (4, 6, 16):
        model = small(name, pretrained=str(tmp_path), hidden_dim=hidden_dim)
        assert isinstance(model.widen, torch.nn.Identity) is (hidden_dim == 4)
        assert isinstance(model.narrow, torch.nn.Identity) is (hidden_dim == width_out)
        states_ND, _ = model.training_states(batch_of(short()))
        assert states_ND.shape[1] == model.query_states(batch_of(short())).shape[1] == hidden_dim


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_lora_trains_small_matrices_alone_and_they_can_be_merged(name, tmp_path):
    folder, _ = stored(tmp_path, name)
    model = small(name, pretrained=folder, adapt="lora", lora_rank=2)
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    inside = {key for key in trained if key.startswith("blocks.")}
    assert inside
    assert all("lora_" in key for key in inside)
    assert trained - inside == {"items.weight"} | ({"hidden_event"} if name in CLOZE else set())
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    batch = batch_of(short())
    optimizer = torch.optim.Adam(model.parameters(), 1e-1)
    for _ in range(3):
        states_ND, targets_N = model.training_states(batch)
        optimizer.zero_grad()
        F.cross_entropy(states_ND @ model.item_table().T, targets_N).backward()
        optimizer.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert moved == trained
    model.eval()
    with torch.inference_mode():
        apart = model.recommend(batch, 5, None)
        model.blocks[0] = model.blocks[0].merge_and_unload()
        merged = model.recommend(batch, 5, None)
    torch.testing.assert_close(merged.scores_BK, apart.scores_BK, atol=1e-4, rtol=1e-4)
    assert torch.equal(merged.items_BK, apart.items_BK)


def test_stored_weights_with_lora_from_the_command_line(tmp_path, capsys):
    folder, _ = stored(tmp_path)
    arguments = [
        "train", "model=transformer", f"model.pretrained={folder}", "model.adapt=lora",
        "model.hidden_dim=8", "model.max_length=9", "data.num_users=60", "data.num_items=30",
        "recipe.max_epochs=1", "tracking=none", f"prepared_dir={tmp_path / 'prepared'}",
        f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert run_command(arguments) == 0
    assert run_command(["evaluate", str(tmp_path / "run")]) == 0
    assert "(test)" in capsys.readouterr().out  # a heading, which may fill two lines


def test_frozen_weights_stay(tmp_path):
    folder, _ = stored(tmp_path)
    model = small("gpt2", pretrained=folder, adapt="frozen")
    assert {key for key, p in model.named_parameters() if p.requires_grad} == {"items.weight"}


def test_refusals(tmp_path):
    with pytest.raises(UserError, match=r"architecture: got 'lama'; did you mean 'llama'"):
        small("gpt2", architecture="lama")
    with pytest.raises(UserError, match=r"next_item.*bert, which sees later events.*use.*cloze"):
        small("bert", objective="next_item")
    with pytest.raises(UserError, match=r"cloze.*llama, which does not see later.*use.*next_item"):
        small("llama", objective="cloze")
    with pytest.raises(UserError, match=r"hidden_dim: got 16, which 3 heads cannot share"):
        small("gpt2", num_heads=3)
    with pytest.raises(UserError, match=r"adapt: got lora without model\.pretrained"):
        small("gpt2", adapt="lora")
    with pytest.raises(UserError, match=r"mask_probability: got 0\.3 with model\.objective=next"):
        small("gpt2", mask_probability=0.3)
    with pytest.raises(UserError, match=r"last_probability: got 0 with model\.objective=next_item"):
        small("gpt2", last_probability=0.0)
    with pytest.raises(UserError, match=r"lora_alpha: got 8 with model\.adapt=full.*adapt=lora"):
        small("gpt2", lora_alpha=8)
    with pytest.raises(UserError, match=r"rwkv needs at least 2 layers"):
        small("rwkv", num_layers=1)
    with pytest.raises(UserError, match=r"model\.pretrained: cannot load '.*nothing'"):
        small("gpt2", pretrained=str(tmp_path / "nothing"))
    folder, _ = stored(tmp_path)
    with pytest.raises(
        UserError, match=r"got llama, but .* is a gpt2; use model\.architecture=gpt2"
    ):
        small("llama", pretrained=folder)


def test_heads_that_cannot_rotate_are_refused():
    for name in [name for name, found in ARCHITECTURES.items() if found.rotary]:
        with pytest.raises(
            UserError, match=rf"num_heads: got 2, which makes heads of {name} 3 wide"
        ):
            small(name, hidden_dim=6, num_heads=2)


@pytest.mark.parametrize("name", [name for name, found in ARCHITECTURES.items() if found.numbered])
def test_histories_longer_than_the_stored_positions_are_refused(name, tmp_path):
    folder, _ = stored(tmp_path, name)
    small(name, pretrained=folder, max_length=9)
    with pytest.raises(UserError, match=r"max_length: got 10, expected at most 9"):
        small(name, pretrained=folder, max_length=10)


def test_incomplete_and_damaged_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder, _ = stored(tmp_path)
    file = tmp_path / "gpt2" / "model.safetensors"
    whole = load_file(file)
    for part in (
        {key: value for key, value in whole.items() if "mlp.c_fc" not in key},
        {key: v[..., :-1].clone() if "mlp.c_fc" in key else v for key, v in whole.items()},
    ):
        save_file(part, file, metadata={"format": "pt"})
        with pytest.raises(
            UserError, match=r"has no h\.0\.mlp\.c_fc\.bias that fits.*2 such weights"
        ):
            small("gpt2", pretrained=folder)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match=r"model\.pretrained: cannot load"):
        small("gpt2", pretrained=folder)
    file.rename(file.with_name("pytorch_model.bin"))  # would be unpickled
    with pytest.raises(UserError, match=r"cannot load .* no file named model\.safetensors"):
        small("gpt2", pretrained=folder)


def test_an_absent_network_is_told_in_one_line(monkeypatch, capfd):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"model\.pretrained: cannot load 'nobody/nothing'"):
        small("gpt2", pretrained="nobody/nothing")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "option", "sees"),
    [
        ("gemma3_text", "use_bidirectional_attention", "sees"),
        ("bert", "is_decoder", "does not see"),
    ],
)
def test_stored_weights_that_look_the_other_way_are_refused(name, option, sees, tmp_path):
    folder, model = stored(tmp_path, name)
    config = model.blocks[0].config
    setattr(config, option, True)
    config.save_pretrained(folder)
    with pytest.raises(
        UserError, match=rf"model\.pretrained: according to its config\.json, .* {sees} later"
    ):
        small(name, pretrained=folder)
