"""The moving average of the weights by hand: it is judged and kept; training does not read it."""

import torch
from safetensors.torch import load_file

from recsys_lab.config import build
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.evaluation.protocols.base import evaluate
from tests.training.test_resume import FakeData, last_state, options, train

DECAY = 0.8


def test_it_is_validated_and_kept_while_the_weights_go_on(tmp_path, monkeypatch):
    passed = []
    adam = torch.optim.Adam.step

    def step(optimizer, *given, **options):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if not passed:
            passed.append([weight.detach().clone() for weight in weights])
        loss = adam(optimizer, *given, **options)
        passed.append([weight.detach().clone() for weight in weights])
        return loss

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    keeper, model = train(tmp_path, monkeypatch, None, max_epochs=1, ema_decay=DECAY)
    assert len(passed) == 1 + 5
    for place, (name, kept) in enumerate(model.named_parameters()):
        mean = passed[0][place]
        for weights in passed[1:]:
            mean = DECAY * mean + (1 - DECAY) * weights[place]
        torch.testing.assert_close(kept, mean, msg=name)
        assert not torch.equal(kept, passed[-1][place]), name
        stored = last_state(tmp_path)["state_dict"]
        assert torch.equal(stored[f"model.{name}"], passed[-1][place])
        assert torch.equal(stored[f"average.{name}"], kept)
    assert load_file(tmp_path / "best.safetensors").keys() == model.state_dict().keys()
    protocol = build(options("evaluation", "full_ranking"))
    protocol.attach(FakeData())
    users = EvaluationBatches(FakeData(), "validation", batch_size=7, window=8, exclude_seen=True)
    ranked = evaluate(model, users, protocol).compute()
    assert keeper.history[0]["val/ndcg@10"] == ranked["ndcg@10"]
