"""Sources of a user's own parts that do what they must not."""

from textwrap import dedent

PARTS = """
    import optuna
    import polars as pl
    import torch
    from dataclasses import dataclass

    from recsys_lab.data.raw import RawData
    from recsys_lab.evaluation.metrics.accuracy import PerUserMetric
    from recsys_lab.evaluation.metrics.user_mean import BeyondMetric
    from recsys_lab.sweeps.samplers import SamplerFactory
    from recsys_lab.tracking.base import Tracker


    class Writes(PerUserMetric):
        name, higher_is_better = "writes", True

        def per_user(self, hits_BK, num_targets_B):
            hits_BK[:] = True
            return hits_BK.double().mean(1)


    class Infinite(PerUserMetric):
        name, higher_is_better = "infinite", True

        def per_user(self, hits_BK, num_targets_B):
            return torch.full((len(hits_BK),), 1.0 if len(hits_BK) == 3 else torch.inf).double()


    class Lists(BeyondMetric):
        name, higher_is_better = "lists", True

        def update(self, batch, ranked):
            self.add(batch.lists_B, ranked.scores_BK[:, 0])

        def compute(self):
            return torch.tensor(1.0)


    class Changes(Tracker):
        def start(self, run, folder):
            run.config["model"]["hidden_dim"] = 999
            run.config.pop("data")
            return "x"

        def log(self, metrics, step):
            metrics.clear()
            metrics["val/ndcg@10"] = 7.0

        def finish(self, end):
            end.summary.clear()


    class NoMake(SamplerFactory):
        pass


    class Proposes(optuna.samplers.RandomSampler):
        def __init__(self, value):
            super().__init__(0)
            self.value = value

        def sample_independent(self, study, trial, name, distribution):
            return self.value


    class Fixed(SamplerFactory):
        @dataclass(frozen=True)
        class Config:
            value: float | str

        def make(self, seed):
            return Proposes(self.config.value)


    class Returns:
        @dataclass(frozen=True)
        class Config:
            what: str

        def __init__(self, config):
            self.config = config

        def __call__(self, states_ND, targets_N, table_VD):
            one = states_ND.sum()
            values = {"float": 1.5, "vector": one.expand(3), "undefined": one * torch.nan}
            return values[self.config.what]


    class Half:
        def factor(self, step, total):
            return "0.5"


    class Log:
        @dataclass(frozen=True)
        class Config:
            what: str

        def __init__(self, config):
            if config.what != "no config":
                self.config = config

        def source_key(self):
            return {"object": object()} if self.config.what == "key" else {"version": 1}

        def read_raw(self, scratch):
            log = pl.read_csv("log.csv")
            if self.config.what == "frame":
                return log
            if self.config.what == "text":
                log = log.with_columns(pl.col("timestamp").cast(pl.String))
            return RawData(log.head(HEAD))
"""
PLAIN = """
    from recsys_lab.models.classical.popularity import Popularity


    class Own(Popularity):
        class Config:
            width: int
"""


def parts(*, head: int) -> str:
    """The module, whose reader reads the first rows of the log."""
    return dedent(PARTS).replace("HEAD", str(head))
