"""recsys_lab: research experiments with sequential recommenders, from a raw log to a run record.

What can be done from Python (see `recsys_lab.api`; each is imported when it is first used):

- `load`, `Run`: a run with its results, its data and its trained model, which recommends
- `train`: a run, as the command line makes it
- `dataset`, `Dataset`: users, items and events of a prepared dataset
- `find_runs`, `compare`, `Comparison`: several runs as tables
- `UserError`: what is raised where the input is wrong
"""

import importlib
from typing import TYPE_CHECKING, Any

from recsys_lab.lazy_torchmetrics import find_torchmetrics
from recsys_lab.moved import find_moved_modules
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from recsys_lab.api.dataset import Dataset, dataset
    from recsys_lab.api.run import Run, load
    from recsys_lab.api.tables import Comparison, compare, find_runs
    from recsys_lab.api.train import train
    from recsys_lab.config import UserError

find_moved_modules()
find_torchmetrics()

__all__ = [
    "Comparison",
    "Dataset",
    "Run",
    "UserError",
    "__version__",
    "compare",
    "dataset",
    "find_runs",
    "load",
    "train",
]
_MODULES = {
    "Comparison": "api.tables",
    "Dataset": "api.dataset",
    "Run": "api.run",
    "UserError": "config",
    "compare": "api.tables",
    "dataset": "api.dataset",
    "find_runs": "api.tables",
    "load": "api.run",
    "train": "api.train",
}


if not TYPE_CHECKING:  # a name that is not there is an error for type checkers, too

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'recsys_lab' has no attribute {name!r}")
        return getattr(importlib.import_module(f"recsys_lab.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
