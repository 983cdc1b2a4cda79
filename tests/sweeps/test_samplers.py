"""What samplers need is installed with the lab."""

import tomllib
from pathlib import Path


def test_what_optuna_imports_late_is_asked_for():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    names = [text.partition(">")[0] for text in project["dependencies"]]
    assert {"cmaes", "scipy", "torch"} <= set(names)  # cmaes; gp and qmc; gp
    extra = [text.partition(">")[0] for text in project["optional-dependencies"]["sweep"]]
    assert "scikit-learn" in extra  # fANOVA
    pins = {line.partition("==")[0] for line in Path("constraints.txt").read_text().splitlines()}
    assert {"scipy", "scikit-learn"} <= pins
