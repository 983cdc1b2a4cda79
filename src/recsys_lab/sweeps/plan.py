"""The plan that parent and workers of a sweep share, and the config of one trial."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from recsys_lab.config import UserError, config_dir
from recsys_lab.config.commands import TrainConfig
from recsys_lab.config.compose import Request, check, make_loader
from recsys_lab.config.errors import report
from recsys_lab.config.quoting import quoted
from recsys_lab.config.secrets import note_variables, scrubbed
from recsys_lab.config.verbs import VERBS
from recsys_lab.evaluation.metrics.names import BEYOND
from recsys_lab.evaluation.metrics.registry import accuracy_names, named
from recsys_lab.files.atomic import write_text
from recsys_lab.moved import with_current_options
from recsys_lab.sweeps.pruners import make_pruner
from recsys_lab.sweeps.samplers import make_sampler
from recsys_lab.sweeps.settings import Search, Sweep
from recsys_lab.sweeps.space import as_override, as_overrides
from recsys_lab.sweeps.storage.attributes import DATA, SEARCHERS
from recsys_lab.sweeps.study import Study

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.sweeps.space import Dimension, Scalar


DATA_KEYS = ("data", "filter", "split", "engine", "prepared_dir")
"""Config groups and options that determine the prepared data and its folder."""
_OF_ONE_RUN = VERBS["sweep"].refuses
_NOT_THE_TRIALS = ("sweep", "search", "launcher", *_OF_ONE_RUN)
BATCH, ACCUMULATION = "recipe.batch_size", "recipe.accumulate_grad_batches"


@dataclass(frozen=True)
class Plan:
    """Everything that a worker process needs; stored as ``plan.json``.

    Attributes:
        folder: of the sweep's files, absolute.
        storage: of the study.
        options: of `Sweep`.
        params: of `Search`.
        base: overrides that all trials have.
        config_dir: the user's own folder of configs, or None.
        prepared: folder, fingerprint and `data_config` of the dataset that was prepared for all
            trials; None where the data are searched.
        source: file or folder that every trial prepares its data from, where they are searched and
            it is a local one; else None.
        own_metrics: the user's own, see `recsys_lab.evaluation.metrics.registry.own_metrics`.
        ended: numbers of the trials that had ended when the command began.
    """

    folder: str
    storage: str
    options: Mapping[str, Any]
    params: Mapping[str, Any]
    base: Sequence[str]
    config_dir: str | None
    prepared: Mapping[str, Any] | None = None
    source: str | None = None
    own_metrics: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    ended: Sequence[int] = ()

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return Path(self.folder)

    @cached_property
    def sweep(self) -> Sweep:
        """How to search."""
        return Sweep(Sweep.Config(**self.options), self.own_metrics)

    @property
    def search(self) -> Search:
        """What to search."""
        return Search(Search.Config(dict(self.params)))

    def study(self, sampler_seed: int, worker: str | None = None) -> Study:
        """Open the study, or create it.

        Args:
            sampler_seed: of the sampler.
            worker: name of this process, if it is a worker.

        Raises:
            UserError: it exists with other settings.
        """
        sweep = self.sweep
        config = sweep.config
        return Study(
            self.storage,
            config.name,
            directions=sweep.directions,
            space=self.search.space,
            spec={
                "base": sorted(scrubbed(self.base)),
                "params": self.params,
                "objectives": self.options["objectives"],
                "constraints": config.constraints,
                DATA: self.prepared and self.prepared["fingerprint"],
                **{key: scrubbed(self.options[key]) for key in SEARCHERS},
            },
            sampler=make_sampler(sweep.sampler, sampler_seed),
            pruner=make_pruner(sweep.pruner),
            exhaustive=sweep.sampler.exhaustive,
            most_deaths=config.max_deaths,
            patience=config.storage_patience,
            worker=worker,
        )

    def request(self, overrides: Sequence[str], *, multirun: bool = False) -> Request:
        """The request that composes a run's config."""
        return Request(
            config_path=config_dir(),
            config_name="train",
            config_dir=self.config_dir,
            overrides=[*self.base, *overrides],
            multirun=multirun,
            schema=TrainConfig,
        )

    def trial_folder(self, number: int, changes: Mapping[str, Scalar] | None = None) -> Path:
        """The run directory of a trial; retries with a smaller batch have their own."""
        halved = f"-batch{changes[BATCH]}" if changes else ""
        return self.path / "trials" / f"{number:04d}{halved}"

    def trial_config(
        self, number: int, point: Mapping[str, Scalar], changes: Mapping[str, Scalar]
    ) -> DictConfig:
        """The config of a trial, with the changes of a retry after memory ran out."""
        name = f"{self.options['name']} {number}"
        own = [
            f"run_dir={quoted(str(self.trial_folder(number, changes)))}",
            f"group={quoted(self.options['name'])}",
            f"name={quoted(name)}",
        ]
        return self.composed([*self.point_overrides({**point, **changes}), *own])

    def prepared_for(self, cfg: DictConfig) -> Path | None:
        """Folder of the prepared dataset; None if this config needs another dataset."""
        if self.prepared is None or self.prepared["config"] != data_config(cfg):
            return None
        return Path(self.prepared["folder"])

    def composed(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a run with these overrides."""
        request = self.request(overrides)
        cfg = make_loader(request).load_configuration("train", request.overrides, RunMode.RUN)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        note_variables(OmegaConf.to_container(cfg, resolve=False))
        return cfg

    def point_overrides(self, point: Mapping[str, Scalar]) -> list[str]:
        """The overrides of a point, choices of groups first."""
        groups = [key for key in point if self.is_group(key)]
        return as_overrides(point, groups)

    def is_group(self, key: str) -> bool:
        """Whether a key is a config group, so that its values are files."""
        loader = make_loader(self.request([]))
        return bool(loader.repository.group_exists(key))

    def check(self) -> None:
        """Compose and check every listed value and both ends of every interval.

        Keys of a searched group are checked with each choice that they can be combined with.

        Raises:
            UserError: with every problem of the first invalid dimension.
        """
        dimensions = self.search.space.dimensions
        free = [d for d in dimensions if d.values and not d.when and self.is_group(d.key)]
        for dimension in dimensions:
            above = [d for d in free if _is_above(d.key, dimension)]
            met = [
                dict(zip((group.key for group in above), values, strict=True))
                for values in itertools.product(*(group.values for group in above))
            ]
            checked = [(chosen, self._problem(dimension, chosen)) for chosen in met]
            wrong = [(chosen, problem) for chosen, problem in checked if problem]
            if wrong:
                chosen, problem = wrong[0]
                # If it is wrong with all of them, a condition does not help.
                advice = _advice(dimension, chosen) if len(wrong) < len(met) else ""
                raise UserError(f"{problem}{advice}")

    def _problem(self, dimension: Dimension, chosen: Mapping[str, Scalar]) -> UserError | None:
        groups = [as_override(key, value) for key, value in chosen.items()]
        # One value first, or a problem of the key would be reported once for each value.
        single = replace(dimension, values=dimension.extremes[:1])
        try:
            check(self.request([*groups, *_extremes(single)], multirun=True))
            check(self.request([*groups, *_extremes(dimension)], multirun=True))
        except UserError as error:
            return error
        return None

    def is_exhausted(self, tried: int) -> bool:
        """Whether all points were tried before ``n_trials`` was reached."""
        points = self.search.space.points()
        if points is None or tried >= self.options["n_trials"]:
            return False
        return sum(1 for _ in itertools.islice(points, tried + 1)) == tried

    def store(self) -> Path:
        """Write it for the workers, readable by the owner only: the URL may have a password."""
        path = self.path / "plan.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(self), indent=2) + "\n", private=True)
        return path

    @staticmethod
    def load(path: Path) -> Plan:
        """The reverse of `store`."""
        values = json.loads(path.read_text())
        values["options"] = with_current_options("sweep", values["options"])
        return Plan(**values)


def data_config(cfg: DictConfig) -> Any:
    """The parts of a config that determine the prepared data."""
    parts = OmegaConf.to_container(OmegaConf.masked_copy(cfg, list(DATA_KEYS)), resolve=True)
    return json.loads(json.dumps(parts))


def _is_above(group: str, dimension: Dimension) -> bool:
    """Whether it depends on a searched group if the key exists."""
    below = dimension.key.startswith(f"{group}.") or group == "experiment" != dimension.key
    return below and group not in dimension.when


def _advice(dimension: Dimension, chosen: Mapping[str, Scalar]) -> str:
    met = ", ".join(f"{key}={value}" for key, value in chosen.items())
    key = next(iter(chosen))
    return (
        f"\n  {dimension.key} is searched with {met}, too; give the value that it belongs to: "
        f"'search.params.{dimension.key}={{when: {{{key}: VALUE}}, space: ...}}'"
    )


def _extremes(dimension: Dimension) -> list[str]:
    conditions = [as_override(key, value) for key, value in dimension.when.items()]
    texts = [as_override("", value)[1:] for value in dimension.extremes]
    return [*conditions, f"{dimension.key}={','.join(texts)}"]


def measured(evaluation: DictConfig) -> tuple[list[str], list[str]]:
    """Names of the accuracy metrics, and of the beyond-accuracy metrics, that a config computes."""
    accuracy = accuracy_names(evaluation.metrics, evaluation.ks)
    beyond = named(BEYOND, evaluation.beyond_accuracy, evaluation.beyond_ks)
    return accuracy, [metric.name for metric in beyond]


def refuse_keys_of_one_run(texts: Sequence[str]) -> None:
    """Refuse overrides of keys that the sweep sets for each trial.

    Raises:
        UserError: with all of them.
    """
    parser = OverridesParser.create()
    keys = [parser.parse_override(text).key_or_group for text in texts]
    problems = [
        f"{key}: not allowed in a sweep: {_OF_ONE_RUN[key]}." for key in keys if key in _OF_ONE_RUN
    ]
    if problems:
        raise UserError(report(problems, "the command"))


def base_overrides(texts: Sequence[str]) -> list[str]:
    """The overrides of the command that every trial gets: all but the sweep's own."""
    parser = OverridesParser.create()
    kept = []
    for text in texts:
        key = parser.parse_override(text).key_or_group
        if key.partition(".")[0] not in _NOT_THE_TRIALS:
            kept.append(text)
    return kept
