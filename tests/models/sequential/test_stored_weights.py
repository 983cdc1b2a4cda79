"""Transformers that begin with stored weights, whole, frozen or with LoRA."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.models.sequential.architectures import ARCHITECTURES
from tests.models.sequential.test_transformer import CLOZE, short, small
from tests.models.test_contracts import batch_of


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
