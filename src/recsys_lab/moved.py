"""Renamed modules, options, classes and metrics of the lab.

Stored runs are read with the current names. A config or import with an old name works until the
next release, with a warning that names the new one.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ROOT = "recsys_lab."
_MOVED = {
    "config.places": "config.locations",
    "contracts.roles": "contracts.protocols",
    "data.amazon_2014": "data.sources.published.amazon_2014",
    "data.amazon_2018": "data.sources.published.amazon_2018",
    "data.amazon_2023": "data.sources.published.amazon_2023",
    "data.diginetica": "data.sources.published.diginetica",
    "data.filters": "data.preparation.row_filters",
    "data.gowalla": "data.sources.published.gowalla",
    "data.hub": "data.sources.hub",
    "data.kuairand": "data.sources.published.kuairand",
    "data.lastfm": "data.sources.published.lastfm",
    "data.movielens": "data.sources.published.movielens",
    "data.online_retail": "data.sources.published.online_retail",
    "data.recbole": "data.sources.recbole",
    "data.retailrocket": "data.sources.published.retailrocket",
    "data.sequences": "data.sources.sequences",
    "data.sql": "data.sources.sql",
    "data.sources.published.about": "data.sources.published.base",
    "data.steam": "data.sources.published.steam",
    "data.synthetic_shop": "data.sources.synthetic.synthetic_shop",
    "data.table": "data.sources.table",
    "data.yambda": "data.sources.published.yambda",
    "data.yelp": "data.sources.published.yelp",
    "data.yoochoose": "data.sources.published.yoochoose",
    "evaluation.candidate_file": "evaluation.protocols.candidate_file",
    "evaluation.full_ranking": "evaluation.protocols.full_ranking",
    "evaluation.sampled_ranking": "evaluation.protocols.sampled_ranking",
    "losses.picked_scores": "losses.gathered_scores",
    "models.bert4rec": "models.sequential.bert4rec",
    "models.blocks": "models.sequential.blocks",
    "models.bsarec": "models.sequential.bsarec",
    "models.dot_product": "models.sequential.dot_product",
    "models.ease": "models.classical.ease",
    "models.gru4rec": "models.sequential.gru4rec",
    "models.hstu": "models.sequential.hstu",
    "models.ials": "models.classical.ials",
    "models.inputs": "models.inputs.item_inputs",
    "models.item_knn": "models.classical.item_knn",
    "models.layers": "models.sequential.layers",
    "models.markov": "models.classical.markov",
    "models.oracle": "models.classical.oracle",
    "models.popularity": "models.classical.popularity",
    "models.pure_svd": "models.classical.pure_svd",
    "models.random": "models.classical.random",
    "models.sasrec": "models.sequential.sasrec",
    "models.transformer": "models.sequential.transformer",
    "runs.tracking": "tracking.tracking",
    "sweeps.local": "sweeps.launchers.local",
    "sweeps.options": "sweeps.settings",
    "sweeps.ray_cluster": "sweeps.launchers.ray",
    "sweeps.slurm": "sweeps.launchers.slurm",
}
"""Old module -> new module, below `recsys_lab`."""

_KEYS = {
    "evaluation": {"list_length": "max_k", "score_mebibytes": "score_mib"},
    "inputs": {"text_use": "text_mode"},
    "loss": {"memory_mebibytes": "memory_mib"},
    "recipe": {"sparse_items": "sparse_embeddings", "validate_every": "validate_every_epochs"},
    "sweep": {"top_n": "retrain_top_n", "top_seeds": "retrain_seeds"},
}
"""Config group -> old option -> new option, of the lab's components."""

_RENAMED = {
    "contracts": {
        "ChecksData": "ValidatesData",
        "ChecksDevice": "ValidatesDevice",
        "DrawsTargets": "SamplesTargets",
        "ReadsCounts": "UsesItemCounts",
        "ReadsTargets": "UsesTargetCounts",
        "Truth": "GroundTruth",
    },
    "models.sequential.layers": {
        "Rectangle": "PaddedLayout",
        "draw_hidden": "sample_cloze_mask",
        "followers": "next_item_weights",
        "hidden_chances": "cloze_probabilities",
        "shift": "next_item_targets",
    },
}
"""Module -> old name in it -> new name, for names that a user's own code may import."""

RENAMED_METRICS = {"calibration": "miscalibration"}
"""Old name -> new name, without k."""

WORKS_UNTIL = "the old name works until the next release"


def current(target: Any) -> Any:
    """A ``_target_`` with its current name; other values are returned unchanged."""
    if not isinstance(target, str):
        return target
    module, _, name = target.rpartition(".")
    new = _MOVED.get(module.removeprefix(_ROOT)) if module.startswith(_ROOT) else None
    return target if new is None else f"{_ROOT}{new}.{name}"


def current_key(key: str) -> str:
    """The current name of a dotted key such as ``recipe.validate_every``."""
    group, _, option = key.partition(".")
    new = _KEYS.get(group, {}).get(option)
    return key if new is None else f"{group}.{new}"


def old_keys() -> list[str]:
    """The old names of renamed keys."""
    return [f"{group}.{old}" for group, renamed in _KEYS.items() for old in renamed]


def with_current_options(group: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a component of the lab with their current names."""
    renamed = _KEYS.get(group, {})
    return {renamed.get(key, key): value for key, value in options.items()}


def with_current_names(config: Any) -> Any:
    """A stored config, as plain containers, with current names of targets and options."""
    config = _with_current_targets(config)
    if not isinstance(config, dict):
        return config
    for group in _KEYS:
        node = config.get(group)
        if isinstance(node, dict) and str(node.get("_target_")).startswith(_ROOT):
            config[group] = with_current_options(group, node)
    return config


def _with_current_targets(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {
            key: current(value) if key == "_target_" else _with_current_targets(value)
            for key, value in node.items()
        }
    return [_with_current_targets(value) for value in node] if isinstance(node, list) else node


def current_metric(name: str) -> str:
    """The current name of a metric: ``val/calibration@10`` is ``val/miscalibration@10``."""
    phase, slash, rest = name.rpartition("/")
    kind, at, k = rest.partition("@")
    return f"{phase}{slash}{RENAMED_METRICS.get(kind, kind) if at else kind}{at}{k}"


def with_current_metrics(node: Any) -> Any:
    """A record or a part of it, as plain containers, with current names of metrics."""
    if isinstance(node, Mapping):
        return {current_metric(key): with_current_metrics(value) for key, value in node.items()}
    if isinstance(node, list):
        return [with_current_metrics(value) for value in node]
    return current_metric(node) if isinstance(node, str) else node


class _Moved(MetaPathFinder, Loader):
    """Imports a module by its old name: the same module, with a `DeprecationWarning`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Handle only old names."""
        del path, target
        is_old = fullname.startswith(_ROOT) and fullname.removeprefix(_ROOT) in _MOVED
        return ModuleSpec(fullname, self) if is_old else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that has moved."""
        new = _ROOT + _MOVED[spec.name.removeprefix(_ROOT)]
        _warn(spec.name, new)
        module = importlib.import_module(new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the spec, which the import system replaced by that of the old name."""
        module.__spec__ = self._spec


def names_before(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module with renamed names: the same object, with a warning.

    Args:
        module: its full name.
    """
    renamed = _RENAMED[module.removeprefix(_ROOT)]

    def get(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", f"{module}.{renamed[name]}")
        return getattr(sys.modules[module], renamed[name])

    return get


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}; {WORKS_UNTIL}", DeprecationWarning, stacklevel=3)


def find_moved_modules() -> None:
    """Make imports by old names work; the finder is last, so that existing modules come first."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
