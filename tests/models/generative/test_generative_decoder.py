"""The decoder-only generator: its cache, its loss in one pass, its architectures."""

from dataclasses import replace

import pytest
import torch
import yaml
from torch.nn import functional as F

from recsys_lab.config import UserError, build, config_dir
from recsys_lab.models.ranking import top_k
from recsys_lab.models.sequential.architectures import ARCHITECTURES
from tests.models.generative.tables import batch_of, beam, exact, ids_of, with_decoding

ITEMS, SIZES, WIDTH = 40, (5, 6, 4), 16
HISTORIES = [[1, 2, 3, 4, 5, 6], [3, 4], [5, 6, 7, 8, 9, 10, 11, 12, 13], [7]]
WITH_TARGETS = [[1, 2, 3, 4, 5, 6, 39], [3, 4, 20], [5, 6, 7, 8], [7, 20]]
CAUSAL = [name for name, a in ARCHITECTURES.items() if a.causal and not a.recurrent]


def codes():
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(size, (ITEMS,), generator=generator) for size in SIZES]
    return ids_of(torch.stack(drawn, 1), SIZES)


def made(ids, decoding, **changes):
    values = yaml.safe_load((config_dir() / "model/generative_decoder.yaml").read_text())
    small = {"hidden_dim": WIDTH, "feedforward_dim": 32, "max_length": 9, "init_std": 0.3}
    del values["defaults"]
    torch.manual_seed(0)
    model = build({**values, **small, "dropout": 0.0, **changes}, num_items=ITEMS)
    return with_decoding(model, ids, decoding).eval()


def walk(model, beams=4):
    """Logits of all levels along random beams, and the codes of the last ones, (B, W, L - 1)."""
    batch, generator = batch_of(HISTORIES), torch.Generator().manual_seed(1)
    cache, parents, last = model.start(batch), None, None
    tokens, logits = torch.zeros(batch.size, 1, 0, dtype=torch.int64), []
    for level, size in enumerate(SIZES):
        level_logits, cache = model.step(cache, level, parents, last)
        logits.append((tokens, level_logits))
        parents = torch.randint(
            tokens.shape[1], (batch.size, beams + level), generator=generator
        )  # more than there were, some of them twice
        last = torch.randint(size, parents.shape, generator=generator)
        index = parents.unsqueeze(2).expand(-1, -1, tokens.shape[2])
        tokens = torch.cat([tokens.gather(1, index), last.unsqueeze(2)], 2)
    return logits


def tokens_of(model, history, beam_codes):
    """Input vectors of the codes of a history and a beam, one by one."""
    whole = [model.codes_VL[item].tolist() for item in history] + [list(beam_codes)]
    return torch.stack([
        model.levels.weight[level]
        + sum(model.codes.weight[sum(SIZES[:at]) + item_codes[at]] for at in range(level + 1))
        for item_codes in whole for level in range(len(item_codes))
    ])  # fmt: skip


def states_of(model, x_SD):
    """The states of one sequence, from the library or from torch's own layers, without a cache."""
    if model.config.architecture is not None:
        return model.blocks[0](inputs_embeds=x_SD[None]).last_hidden_state[0]
    x_SD = x_SD + model.stack.positions.weight[torch.arange(len(x_SD)) // len(SIZES)]
    mask = torch.ones(len(x_SD), len(x_SD), dtype=torch.bool).triu(1)
    for block in model.blocks:
        attention = torch.nn.MultiheadAttention(WIDTH, model.config.num_heads).eval()
        attention.load_state_dict({
            "in_proj_weight": block.attention.qkv.weight,
            "in_proj_bias": block.attention.qkv.bias,
            "out_proj.weight": block.attention.out.weight,
            "out_proj.bias": block.attention.out.bias,
        })  # fmt: skip
        normed = block.attention_norm(x_SD)
        x_SD = x_SD + attention(normed, normed, normed, attn_mask=mask)[0]
        x_SD = x_SD + block.feedforward(block.feedforward_norm(x_SD))
    return model.stack.final_norm(x_SD)


def logits_of(model, history, beam_codes, level):
    first = sum(SIZES[:level])
    table = model.codes.weight[first : first + SIZES[level]]
    return states_of(model, tokens_of(model, history, beam_codes))[-1] @ table.T


@torch.no_grad()
@pytest.mark.parametrize("architecture", [None, *CAUSAL])
def test_steps_equal_a_pass_over_the_whole_sequence(architecture):
    model = made(codes(), exact(), architecture=architecture)
    model.stack.beams_at_once = 3
    for level, (tokens_BWl, logits_BWC) in enumerate(walk(model)):
        assert logits_BWC.shape == (*tokens_BWl.shape[:2], SIZES[level])
        for row, history in enumerate(HISTORIES):
            for beam_codes, logits in zip(tokens_BWl[row].tolist(), logits_BWC[row], strict=True):
                wanted = logits_of(model, history, beam_codes, level)
                torch.testing.assert_close(logits, wanted, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_cache_is_not_changed_by_a_step():
    model = made(codes(), exact())
    cache = model.start(batch_of(HISTORIES))
    parents, first = torch.zeros(4, 3, dtype=torch.int64), torch.tensor([[0, 1, 2]] * 4)
    before, _ = model.step(cache, 1, parents, first)
    model.step(cache, 1, parents, first.flip(1))
    assert torch.equal(model.step(cache, 1, parents, first)[0], before)


@torch.no_grad()
@pytest.mark.parametrize("architecture", [None, "gpt2", "llama"])
def test_the_loss_of_one_pass_is_that_of_every_prefix_alone(architecture):
    model = made(codes(), exact(), architecture=architecture)
    sums, targets = torch.zeros(len(SIZES)), 0
    for history in WITH_TARGETS:
        for place in range(1, len(history)):
            targets += 1
            goal = model.codes_VL[history[place]]
            for level in range(len(SIZES)):
                logits = logits_of(model, history[:place], goal[:level].tolist(), level)
                sums[level] -= logits.log_softmax(0)[goal[level]]
    loss, parts = model.training_loss(batch_of(WITH_TARGETS))
    assert list(parts) == ["loss_level_0", "loss_level_1", "loss_level_2"]
    torch.testing.assert_close(torch.stack(list(parts.values())), sums / targets)
    torch.testing.assert_close(loss, sums.sum() / targets)


def test_events_that_are_not_supervised_give_no_loss():
    model, batch = made(codes(), exact(), tied=False), batch_of(WITH_TARGETS)
    some = torch.zeros(len(batch.items_T), dtype=torch.bool)
    some[[0, 6, 8]] = True  # the first is never a target
    only = [WITH_TARGETS[0], WITH_TARGETS[1][:2]]
    ends = torch.zeros(9, dtype=torch.bool)
    ends[[6, 8]] = True
    with torch.no_grad():
        loss, _ = model.training_loss(replace(batch, supervised_T=some))
        wanted, _ = model.training_loss(replace(batch_of(only), supervised_T=ends))
    torch.testing.assert_close(loss, wanted)
    loss, _ = model.training_loss(replace(batch, supervised_T=torch.zeros_like(some)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(float(weight.grad.abs().sum()) == 0 for weight in model.parameters())


@torch.inference_mode()
def test_beams_for_all_items_give_the_exact_lists():
    exclude = (torch.tensor([0, 0, 2, 3]), torch.tensor([1, 2, 6, 3]))
    model = made(codes(), exact())
    wanted = model.recommend(batch_of(HISTORIES), 10, exclude)
    found = made(codes(), beam(ITEMS)).recommend(batch_of(HISTORIES), 10, exclude)
    assert torch.equal(found.items_BK, wanted.items_BK)
    torch.testing.assert_close(found.scores_BK, wanted.scores_BK)
    few = made(codes(), beam(12)).recommend(batch_of(HISTORIES), 10, exclude)
    pairs = zip(few.items_BK.tolist(), wanted.items_BK.tolist(), strict=True)
    recall = sum(len({*some} & {*all_}) for some, all_ in pairs) / wanted.items_BK.numel()
    assert recall >= 0.7  # random weights: the first codes say little of the last


@torch.inference_mode()
def test_with_one_code_an_item_it_is_a_classifier_of_items():
    ids = ids_of(torch.randperm(ITEMS).unsqueeze(1), (ITEMS,))
    model = made(ids, beam(ITEMS))
    x_TD = [model.codes.weight[ids.codes_VL[h, 0]] + model.levels.weight[0] for h in HISTORIES]
    last_BD = torch.stack([one_item_states(model, x)[-1] for x in x_TD])
    scores_BV = (last_BD @ model.codes.weight.T).log_softmax(1)[:, ids.codes_VL[:, 0]]
    plain = top_k(scores_BV.clone(), 10, None, torch.arange(4))
    found = model.recommend(batch_of(HISTORIES), 10, None)
    assert torch.equal(found.items_BK, plain.items_BK)
    torch.testing.assert_close(found.scores_BK, plain.scores_BK)
    targets = [[*history, 20] for history in HISTORIES]
    batch = batch_of(targets)
    is_last = torch.zeros(len(batch.items_T), dtype=torch.bool)
    is_last[batch.last_B] = True
    loss, _ = model.training_loss(replace(batch, supervised_T=is_last))
    torch.testing.assert_close(loss, F.nll_loss(scores_BV, torch.tensor([20] * 4)))


def one_item_states(model, x_SD):
    """The states of a sequence with one token an item."""
    layout = model._layout(batch_of([[0] * len(x_SD)]))
    return model.stack(x_SD, layout)


def test_it_learns_one_batch_by_heart():
    model, batch = made(codes(), beam(8)).train(), batch_of(WITH_TARGETS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = model.training_loss(batch)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3  # from 5 at first
    lists = model.eval().recommend(batch_of([h[:-1] for h in WITH_TARGETS]), 5, None)
    targets = [model.codes_VL[history[-1]].tolist() for history in WITH_TARGETS]
    assert [model.codes_VL[items[0]].tolist() for items in lists.items_BK] == targets


def test_dropout_is_of_training_alone_and_every_weight_is_reached():
    for architecture in (None, "gpt2", "llama"):
        model = made(codes(), exact(), architecture=architecture, dropout=0.5, tied=False).train()
        batch = batch_of(WITH_TARGETS)
        one, two = (model.training_loss(batch)[0] for _ in range(2))
        assert float(one.detach()) != float(two.detach())
        one.backward()
        for name, weight in model.named_parameters():
            assert float(weight.grad.abs().sum()) > 0, name
        model.eval()
        assert torch.equal(model.training_loss(batch)[0], model.training_loss(batch)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mamba"}, "got mamba, which stores no keys of the history"),
        ({"architecture": "bert"}, "got bert, which sees later events"),
        ({"architecture": "gpt3"}, "model.architecture: got 'gpt3'; did you mean 'gpt2'"),
        ({"architecture": "mistral", "max_length": 1400}, "of up to 4203 codes, but mistral"),
        ({"num_heads": 3}, "model.hidden_dim: got 16, which 3 heads cannot share"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(UserError, match=message):
        made(codes(), exact(), **changes)
