"""LC-Rec against the language model of the transformers library that it is made of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from recsys_lab.config import UserError
from tests.models.generative.language_models import (
    CODES,
    NUM_CODES,
    TITLES,
    WORDS,
    data_of,
    language_model,
    lc_rec,
)
from tests.models.test_contracts import batch_of

HISTORIES = [[0, 3, 2], [6], [5, 1, 4, 0]]
FIRST = [sum(NUM_CODES[:level]) for level in range(3)]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def folder(request, tmp_path_factory):
    return language_model(tmp_path_factory.mktemp(request.param), request.param)


def ids_of_words(text: str) -> list[int]:
    return [WORDS.index(word) for word in text.split()]


def spoken(history, *, codes=True, titles=True) -> list[int]:
    """The prompt's token ids, word by word; codes come after the words."""
    ids = ids_of_words("<s> a customer chose :")
    for item in history:
        if codes:
            ids += [len(WORDS) + f + int(c) for f, c in zip(FIRST, CODES[item], strict=True)]
        if titles and TITLES[item]:
            ids += ids_of_words(TITLES[item])
        ids.append(WORDS.index(";"))
    return ids + ids_of_words("next item :")


def oracle(folder, model, **shown):
    """Log-probability of each item after each history, by the library's own model with head."""
    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    whole.resize_token_embeddings(len(WORDS) + sum(NUM_CODES), mean_resizing=False)
    outputs = model.code_inputs if model.code_outputs is None else model.code_outputs
    whole.get_output_embeddings().weight.data[len(WORDS) :] = outputs.data
    whole.get_input_embeddings().weight.data[len(WORDS) :] = model.code_inputs.data
    scores = torch.zeros(len(HISTORIES), len(CODES))
    for row, history in enumerate(HISTORIES):
        for item in range(len(CODES)):
            ids = spoken(history, **shown)
            for first, number, code in zip(FIRST, NUM_CODES, CODES[item], strict=True):
                logits = whole(torch.tensor([ids])).logits[0, -1, len(WORDS) :].detach()
                scores[row, item] += logits[first : first + number].log_softmax(0)[code]
                ids.append(len(WORDS) + first + int(code))
    return scores


def all_scores(model, histories=HISTORIES):
    """Scores of all items in their order."""
    lists = model.eval().recommend(batch_of(histories), len(CODES), None)
    return lists.scores_BK.gather(1, lists.items_BK.argsort(1)).detach()


@pytest.mark.parametrize("shown", [{}, {"codes": False}, {"titles": False}])
def test_scores_are_those_of_the_library(folder, shown):
    changes = {"text": "title" if shown.get("titles", True) else None}
    model = lc_rec(folder, codes=shown.get("codes", True), **changes)
    expected = oracle(folder, model, **shown)
    assert float(expected.std()) > 0.3  # not all alike
    torch.testing.assert_close(all_scores(model), expected, atol=1e-4, rtol=1e-4)


def test_loss_is_that_of_the_codes_alone(folder):
    model = lc_rec(folder).eval()
    targets = [2, 5, 3]
    batch = batch_of([[*h, t] for h, t in zip(HISTORIES, targets, strict=True)])
    expected = -oracle(folder, model)[range(3), targets]
    loss, parts = model.training_loss(batch)
    loss, parts = loss.detach(), {name: part.detach() for name, part in parts.items()}
    assert float(loss) == pytest.approx(float(expected.mean()), abs=1e-4)
    assert float(loss) == pytest.approx(sum(map(float, parts.values())), abs=1e-5)
    assert list(parts) == ["loss_level_0", "loss_level_1", "loss_level_2"]
    is_target = torch.zeros(len(batch.items_T), dtype=torch.bool)
    is_target[batch.last_B[1]] = True
    alone, _ = model.training_loss(replace(batch, supervised_T=is_target))
    assert float(alone.detach()) == pytest.approx(float(expected[1]), abs=1e-4)
    none, _ = model.training_loss(replace(batch, supervised_T=torch.zeros_like(is_target)))
    assert float(none.detach()) == 0


def test_beams_of_a_user_do_not_see_each_other(folder):
    model = lc_rec(folder).eval()
    start = model.start(batch_of(HISTORIES))
    kept = [layer.clone() for layer, _ in start.layers]
    logits_BWC, cache = model.step(start, 0, None, None)
    zeros = torch.zeros(3, 3, dtype=torch.int64)
    codes_BW = torch.tensor([[0, 1, 2]] * 3)
    logits_BWC, cache = model.step(cache, 1, zeros, codes_BW)
    parents_BW, more_BW = torch.tensor([[2, 0, 0, 1]] * 3), torch.tensor([[1, 0, 1, 0]] * 3)
    logits_BWC, _ = model.step(cache, 2, parents_BW, more_BW)
    for beam in range(4):
        parent = parents_BW[:, beam : beam + 1]
        _, one = model.step(start, 1, zeros[:, :1], codes_BW.gather(1, parent))
        alone_BWC, _ = model.step(one, 2, zeros[:, :1], more_BW[:, beam : beam + 1])
        torch.testing.assert_close(logits_BWC[:, beam], alone_BWC[:, 0], atol=1e-5, rtol=1e-4)
    for before, (now, _) in zip(kept, start.layers, strict=True):
        assert torch.equal(before, now)


@pytest.mark.parametrize("adapt", ["lora", "frozen", "full"])
def test_only_what_is_trained_is_stored(folder, adapt, tmp_path):
    model = lc_rec(folder, adapt=adapt)
    fixed = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss, _ = model.training_loss(batch_of(HISTORIES[::2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
    assert all(torch.equal(dict(model.named_parameters())[n], p) for n, p in fixed.items())
    stored = model.state_dict()
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert set(stored) == trained
    assert {"lora": "lora_A" in str(trained), "frozen": len(trained) <= 2, "full": not fixed}[adapt]
    save_file(stored, tmp_path / "weights.safetensors")
    again = lc_rec(folder, adapt=adapt)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(all_scores(again), all_scores(model))
    outer = torch.nn.ModuleDict({"model": again})  # as the trainer's module holds it
    outer.load_state_dict(outer.state_dict())
    assert all(name.startswith("model.") for name in outer.state_dict())
    del stored["code_inputs"]
    with pytest.raises(RuntimeError, match="code_inputs"):
        again.load_state_dict(stored)


def test_a_generation_config_changes_nothing(folder, tmp_path):
    sampling = tmp_path / "sampling"
    shutil.copytree(folder, sampling)
    options = {"do_sample": True, "temperature": 7.0, "num_beams": 3, "top_k": 1, "max_length": 2}
    (sampling / "generation_config.json").write_text(json.dumps(options))
    one, two = lc_rec(folder), lc_rec(str(sampling))
    assert torch.equal(all_scores(one), all_scores(two))
    assert torch.equal(all_scores(two), all_scores(two))
    assert one.contents() == two.contents()


def test_texts_are_cut_and_joined(folder):
    model = lc_rec(folder, text=["title", "brand"], text_tokens=1, codes=False)
    prompt = model.prompts(torch.tensor([0, 3]), torch.tensor([2, 0]))
    whole, empty = prompt.tokens_BP.tolist()
    assert whole == ids_of_words("<s> a customer chose : red ; green ; next item :")
    assert empty[4:] == ids_of_words("<s> a customer chose : next item :")
    assert prompt.is_token_BP[1].tolist() == [False] * 4 + [True] * 8
    assert prompt.positions_BP[1].tolist() == [0] * 4 + list(range(8))


def test_no_weights_are_read_where_there_is_no_memory(folder):
    with torch.device("meta"):
        model = lc_rec(folder)
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_refusals(folder, tmp_path):
    with pytest.raises(UserError, match=r"model\.prompt: got 'a', expected \{history\} once"):
        lc_rec(folder, prompt="a")
    with pytest.raises(UserError, match=r"model\.codes: got false without model\.text"):
        lc_rec(folder, codes=False, text=None)
    with pytest.raises(UserError, match=r"not read with model\.adapt=frozen"):
        lc_rec(folder, adapt="frozen", lora_rank=4)
    with pytest.raises(UserError, match=r"the longest prompt would have \d+ tokens.*reads 128"):
        lc_rec(folder, max_length=40)
    with pytest.raises(UserError, match=r"cannot load '/nowhere' \(there is no such folder\)"):
        lc_rec("/nowhere")
    with pytest.raises(UserError, match=r"recipe\.compile: got true"):
        lc_rec(folder).compile(dynamic=True)
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    weights = load_file(pickled / "model.safetensors")
    torch.save(weights, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot load"):
        lc_rec(str(pickled))
    lacking = {
        n: w for n, w in weights.items() if not n.endswith(("ln_f.bias", "model.norm.weight"))
    }
    save_file(lacking, pickled / "model.safetensors")
    with pytest.raises(UserError, match=r"has no .* \(1 such weights\), which would stay random"):
        lc_rec(str(pickled))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("t5", "is an encoder and a decoder"), ("bert", "sees later"), ("mamba", "accept|state")],
)
def test_other_architectures(kind, said, tmp_path):
    from transformers import AutoConfig, AutoModel

    sizes = {
        "t5": {"d_model": 8, "num_layers": 1, "num_heads": 2, "d_kv": 4, "d_ff": 8},
        "bert": {
            "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8,
        },
        "mamba": {"hidden_size": 8, "num_hidden_layers": 1, "state_size": 4},
    }[kind]  # fmt: skip
    config = AutoConfig.for_model(kind, vocab_size=len(WORDS), **sizes)
    language_model(tmp_path, "gpt2")
    for file in Path(tmp_path).glob("*model*.safetensors"):
        file.unlink()
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=said):
        lc_rec(str(tmp_path), data=data_of())
