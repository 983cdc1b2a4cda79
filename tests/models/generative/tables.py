"""A generator whose probabilities are tables, drawn anew for each user and prefix."""

from types import SimpleNamespace

import torch

from recsys_lab.contracts import Batch, SemanticIds
from recsys_lab.models.generative.base import CodeGenerator
from recsys_lab.models.generative.decoding.beam import BeamSearch
from recsys_lab.models.generative.decoding.exact import ExactDecoding


class Tables(CodeGenerator):
    """Logits of a level: one table (users, prefixes of the level, codes)."""

    window = 3

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    @staticmethod
    def drawn(users, num_codes, seed=0):
        generator = torch.Generator().manual_seed(seed)
        prefixes, tables = 1, []
        for size in num_codes:
            tables.append(2 * torch.randn(users, prefixes, size, generator=generator))
            prefixes *= size
        return Tables(tables)

    def make_weights(self, ids, data):
        pass

    def training_loss(self, batch):
        raise NotImplementedError

    def start(self, batch):
        return batch.users_B, torch.zeros(batch.size, 1, dtype=torch.int64)

    def step(self, cache, level, parents_BW, codes_BW):
        users_B, prefix_BW = cache
        if parents_BW is not None:
            prefix_BW = prefix_BW.gather(1, parents_BW) * self.num_codes[level - 1] + codes_BW
        return self.logits[level][users_B.unsqueeze(1), prefix_BW], (users_B, prefix_BW)

    def score(self, user, item):
        """The sum of the log-probabilities of an item's codes, one by one."""
        prefix, total = 0, 0.0
        for table, code, size in zip(
            self.logits, self.codes_VL[item].tolist(), self.num_codes, strict=True
        ):
            total += float(table[user, prefix].double().log_softmax(0)[code])
            prefix = prefix * size + code
        return total


def ids_of(codes, num_codes):
    return SemanticIds(torch.as_tensor(codes), tuple(num_codes), None, "0")


def beam(num_beams):
    return BeamSearch(SimpleNamespace(num_beams=num_beams))


def exact(block_items=5):
    return ExactDecoding(SimpleNamespace(block_items=block_items))


def with_decoding(model, ids, decoding):
    """The model with a decoding that has read the codes."""
    decoding.read_codes(ids)
    model.read_semantic_ids(ids, None, decoding)
    return model


def batch_of(histories, users=None):
    lengths = tuple(map(len, histories))
    return Batch(
        users_B=torch.arange(len(histories)) if users is None else torch.tensor(users),
        items_T=torch.tensor([item for history in histories for item in history]),
        offsets=torch.tensor((0, *lengths)).cumsum(0),
        lengths=lengths,
    )
