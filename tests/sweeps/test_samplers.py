"""Samplers and pruners: what the lab says of its own, and what they need is installed with it."""

import tomllib
from pathlib import Path

import optuna
import pytest

from recsys_lab.config import UserError, build_chosen, class_of_chosen
from recsys_lab.sweeps.pruners import PRUNERS, PrunerFactory, make_pruner
from recsys_lab.sweeps.samplers import SAMPLERS, SamplerFactory, make_sampler


def test_what_optuna_imports_late_is_asked_for():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    names = [text.partition(">")[0] for text in project["dependencies"]]
    assert {"cmaes", "scipy", "torch"} <= set(names)  # cmaes; gp and qmc; gp
    extra = [text.partition(">")[0] for text in project["optional-dependencies"]["sweep"]]
    assert "scikit-learn" in extra  # fANOVA
    pins = {line.partition("==")[0] for line in Path("constraints.txt").read_text().splitlines()}
    assert {"scipy", "scikit-learn"} <= pins


@pytest.mark.parametrize("table", [SAMPLERS, PRUNERS])
def test_every_name_has_a_class_of_its_kind(table):
    for name in table.names:
        made = build_chosen(table, name)
        if table is SAMPLERS:
            assert isinstance(make_sampler(made, 0), optuna.samplers.BaseSampler)
        else:
            assert isinstance(make_pruner(made), optuna.pruners.BasePruner)
            assert made.prunes is (name != "none")


def test_what_samplers_can_do():
    kinds = {name: class_of_chosen(SAMPLERS, name) for name in SAMPLERS.names}
    assert {n for n, kind in kinds.items() if kind.knows_constraints} == {"tpe", "gp", "nsga2"}
    assert {n for n, kind in kinds.items() if not kind.several_objectives} == {"cmaes"}
    assert {n for n, kind in kinds.items() if kind.exhaustive} == {"grid"}


class Odd(SamplerFactory, PrunerFactory):
    def make(self, _seed=None):
        return "nothing"


def test_a_factory_of_something_else_is_refused():
    with pytest.raises(UserError, match=r"sweep\.sampler: Odd\.make returned a str, expected"):
        make_sampler(Odd(), 0)
    with pytest.raises(UserError, match=r"sweep\.pruner: Odd\.make returned a str, expected"):
        make_pruner(Odd())
