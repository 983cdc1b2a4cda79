"""Small logs in memory for the classical recommenders, and models as their YAML describes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import yaml

from recsys_lab.config import build, config_dir
from recsys_lab.config.targets import import_class
from recsys_lab.contracts import Batch, FittedModel


def _classical() -> list[str]:
    """Names of all model configs that are fitted; the oracle needs a known truth."""
    files = sorted((config_dir() / "model").glob("*.yaml"))
    targets = {file.stem: yaml.safe_load(file.read_text())["_target_"] for file in files}
    return [
        name
        for name, target in targets.items()
        if name != "oracle" and issubclass(import_class(target, "model"), FittedModel)
    ]


CLASSICAL = _classical()


class Log:
    """`TrainingData` of lists of items; the last ``held_out`` events of each are not training."""

    def __init__(
        self,
        histories: list[list[int]],
        num_items: int,
        held_out: int = 0,
        times: list[int] | None = None,
        features: Any = None,
    ) -> None:
        self.items = np.asarray([i for h in histories for i in h], dtype=np.int32)
        ends = np.cumsum([len(h) for h in histories])
        starts = np.concatenate([[0], ends[:-1]])
        self._train = np.stack([np.arange(len(histories)), starts, ends - held_out], 1)
        self._train = self._train[self._train[:, 2] > self._train[:, 1]]
        self.num_users, self.num_items = len(histories), num_items
        self.timestamps = None if times is None else np.asarray(times, dtype=np.int64)
        self.features = features

    def segments(self, phase: str) -> np.ndarray:
        assert phase == "train"
        return self._train

    def training_item_counts(self) -> np.ndarray:
        parts = [self.items[start:end] for _, start, end in self._train]
        return np.bincount(np.concatenate(parts), minlength=self.num_items)

    def truth(self) -> None:
        return None

    def dense(self, counts: bool = False) -> np.ndarray:
        """Users x items of the training part, by a plain loop."""
        matrix = np.zeros((self.num_users, self.num_items))
        for user, start, end in self._train:
            for item in self.items[start:end]:
                matrix[user, item] = matrix[user, item] + 1 if counts else 1
        return matrix


def random_log(
    seed: int, users: int = 60, items: int = 30, held_out: int = 0, repeats: bool = False
) -> Log:
    """Histories of 3 to 12 events with skewed popularity."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, items + 1)
    share /= share.sum()
    histories = [
        rng.choice(items, rng.integers(3, 13), replace=repeats, p=share).tolist()
        for _ in range(users)
    ]
    return Log(histories, items, held_out)


def make(name: str, num_items: int, **changes: Any) -> Any:
    """The model as shipped, with changes; its seed is always the same."""
    values = yaml.safe_load((config_dir() / "model" / f"{name}.yaml").read_text())
    assert set(changes) <= set(values)
    torch.manual_seed(0)
    return build({**values, **changes}, num_items=num_items)


def batch_of(histories: list[list[int]], users: list[int] | None = None) -> Batch:
    lengths = [len(h) for h in histories]
    return Batch(
        users_B=torch.tensor(users or list(range(len(histories)))),
        items_T=torch.tensor([i for h in histories for i in h], dtype=torch.int64),
        offsets=torch.tensor([0, *np.cumsum(lengths).tolist()]),
        lengths=tuple(lengths),
    )


def scores_of(model: Any, histories: list[list[int]], num_items: int) -> np.ndarray:
    """The score of every item, (B, V), read from full ranked lists."""
    lists = model.recommend(batch_of(histories), num_items, None)
    scores = np.empty((len(histories), num_items), dtype=np.float32)
    np.put_along_axis(scores, lists.items_BK.numpy(), lists.scores_BK.numpy(), 1)
    return scores
