"""A process that claims trials and ends them at once, for the tests: no training."""

import os
import random
import signal
import sys
import time

from recsys_lab.config import build_chosen
from recsys_lab.sweeps.pruners import NoPruner
from recsys_lab.sweeps.samplers import SAMPLERS, make_sampler
from recsys_lab.sweeps.space_syntax import read_space
from recsys_lab.sweeps.study import Study

PARAMS = {
    "x": "choice(1,2,3,4,5,6)",
    "y": "range(0,6)",
    "kind": "choice(a,b)",
    "z": {"when": {"kind": "b"}, "space": "interval(0,1)"},
}


def study(url: str, sampler: str = "tpe", seed: int = 0, params=PARAMS, **changes) -> Study:
    factory = build_chosen(SAMPLERS, sampler)
    return Study(
        url, "shared",
        **{
            "directions": ["maximize"], "space": read_space(params), "spec": {"params": params},
            "sampler": make_sampler(factory, seed), "pruner": NoPruner().make(),
            "exhaustive": factory.exhaustive, **changes,
        },
    )  # fmt: skip


def main(url: str, n_trials: int, death: float) -> None:
    """Work until nothing is left; with a chance of ``death`` a trial kills the process."""
    shared = study(url, "random", seed=os.getpid())
    while (claim := shared.claim(n_trials)) is not None:
        time.sleep(random.uniform(0, 0.01))
        if random.random() < death:
            os.kill(os.getpid(), signal.SIGKILL)
        shared.complete(claim.trial, [claim.point["x"]])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
