"""BERT4Rec: what is hidden, what is seen, and that it learns."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.models.sequential.layers import sample_cloze_mask
from tests.models.classical.formulas import shake
from tests.models.test_contracts import LENGTHS, V, batch_of, histories, make


def drawn(model, batch):
    return sample_cloze_mask(batch, model.config.mask_probability, model.config.last_probability)


def test_hidden_events_are_as_many_as_asked_for():
    model = make("bert4rec", mask_probability=0.3, last_probability=0.0, max_length=60)
    batch = batch_of([[1] * 50] * 400)
    hidden_BL = drawn(model, batch).view(400, 50)
    share = float(hidden_BL.float().mean())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 20_000) ** 0.5
    model = make("bert4rec", mask_probability=0.3, last_probability=1.0)
    hidden_BL = drawn(model, batch).view(400, 50)
    assert hidden_BL[:, -1].all()
    assert int(hidden_BL.sum()) == 400


def test_each_history_has_a_hidden_event():
    model = make("bert4rec", mask_probability=0.01, last_probability=0.0)
    for seed in range(20):
        torch.manual_seed(seed)
        hidden_T = drawn(model, batch_of(histories()))
        assert all(part.any() for part in hidden_T.split(LENGTHS))


def test_targets_are_the_hidden_events():
    model = make("bert4rec").eval()
    batch = batch_of(histories())
    torch.manual_seed(3)
    hidden_T = drawn(model, batch)
    torch.manual_seed(3)
    states_ND, targets_N = model.training_states(batch)
    assert torch.equal(targets_N, batch.items_T[hidden_T])
    assert states_ND.shape == (int(hidden_T.sum()), 16)


def states(model, given, hidden):
    from recsys_lab.models.sequential.layers import PaddedLayout

    batch = batch_of(given)
    layout = PaddedLayout.of(batch.lengths, batch.items_T.device)
    x_TD = torch.where(torch.tensor(hidden)[:, None], model.hidden_event, model.embed(batch))
    return model._states(x_TD, layout)


def test_a_hidden_event_is_not_seen_and_both_sides_are():
    model = make("bert4rec").eval()
    hidden = [False, False, True, False, False]
    before = states(model, [[1, 2, 3, 4, 5]], hidden)
    assert torch.equal(before, states(model, [[1, 2, 9, 4, 5]], hidden))
    for changed in ([8, 2, 3, 4, 5], [1, 2, 3, 4, 8]):
        assert not torch.allclose(before[2], states(model, [changed], hidden)[2])


def test_ranking_is_finding_a_hidden_last_event():
    """The query is the training state when the event after the history is the hidden one."""
    model = make("bert4rec", last_probability=1.0).eval()
    given = [history[:8] for history in histories()]
    training_ND, _ = model.training_states(batch_of([[*history, 7] for history in given]))
    torch.testing.assert_close(model.query_states(batch_of(given)), training_ND)


def library_model(model):
    """`transformers.BertModel` and its head with the model's weights; item V is the hidden one."""
    from transformers import BertConfig, BertModel
    from transformers.models.bert.modeling_bert import BertPredictionHeadTransform

    config = BertConfig(
        vocab_size=V + 1, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, hidden_act="gelu", hidden_dropout_prob=0.0, type_vocab_size=1,
        attention_probs_dropout_prob=0.0, max_position_embeddings=9, layer_norm_eps=1e-5,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False).double().eval()
    head = BertPredictionHeadTransform(config).double()
    with torch.no_grad():
        words = torch.cat([model.items.weight, model.hidden_event[None]])
        bert.embeddings.word_embeddings.weight.copy_(words)
        bert.embeddings.position_embeddings.weight.copy_(model.positions.weight)
        bert.embeddings.token_type_embeddings.weight.zero_()
        bert.embeddings.LayerNorm.load_state_dict(model.norm.state_dict())
        for mine, theirs in zip(model.blocks, bert.encoder.layer, strict=True):
            own = theirs.attention.self
            for part, layer in enumerate((own.query, own.key, own.value)):
                rows = slice(16 * part, 16 * part + 16)
                layer.weight.copy_(mine.attention.qkv.weight[rows])
                layer.bias.copy_(mine.attention.qkv.bias[rows])
            theirs.attention.output.dense.load_state_dict(mine.attention.out.state_dict())
            theirs.attention.output.LayerNorm.load_state_dict(mine.attention_norm.state_dict())
            theirs.intermediate.dense.load_state_dict(mine.feedforward[0].state_dict())
            theirs.output.dense.load_state_dict(mine.feedforward[2].state_dict())
            theirs.output.LayerNorm.load_state_dict(mine.feedforward_norm.state_dict())
        head.dense.load_state_dict(model.head[0].state_dict())
        head.LayerNorm.load_state_dict(model.head[2].state_dict())
    return bert, head


def test_states_are_those_of_the_library_s_bert_with_the_same_weights():
    model = shake(make("bert4rec"))
    bert, head = library_model(model)
    batch = batch_of(histories())
    torch.manual_seed(3)
    states_ND, _ = model.training_states(batch)
    torch.manual_seed(3)
    hidden_T = drawn(model, batch)
    words = torch.where(hidden_T, V, batch.items_T).split(LENGTHS)
    words_BL = torch.nn.utils.rnn.pad_sequence(words, batch_first=True)
    lengths, place = torch.tensor(LENGTHS)[:, None], torch.arange(max(LENGTHS))
    from_end_BL = (lengths - 1 - place).clamp(min=0)
    mask_BL = place < lengths
    found = bert(words_BL, attention_mask=mask_BL.long(), position_ids=from_end_BL)
    expected = head(found.last_hidden_state)[mask_BL][hidden_T]
    torch.testing.assert_close(states_ND, expected)


def test_companions_in_the_batch_change_nothing():
    model = make("bert4rec").eval()
    given = [history[:8] for history in histories()]
    together = model.query_states(batch_of(given))
    for row, history in enumerate(given):
        alone = model.query_states(batch_of([history]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-5)


def test_overfits_one_batch_and_reaches_every_parameter():
    model = make("bert4rec", dropout=0.0, last_probability=1.0)
    batch = batch_of(histories())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        states_ND, targets_N = model.training_states(batch)
        loss = F.cross_entropy(states_ND @ model.item_table().T, targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_parameter_count_equals_the_closed_form():
    model = make("bert4rec", num_layers=3)
    d, f, length = 16, 32, 9
    block = (3 * d * d + 3 * d) + (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    head = d * d + d + 2 * d
    total = V * d + d + length * d + 2 * d + 3 * block + head
    assert sum(p.numel() for p in model.parameters()) == total


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match="hidden_dim: got 16, which 3 heads cannot share"):
        make("bert4rec", num_heads=3)
