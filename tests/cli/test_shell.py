"""Help, flags, completion, speed; the real configs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra._internal.config_repository import CachingConfigRepository

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.config.compose import loader
from recsys_lab.config.schema import schema_of_target
from recsys_lab.config.targets import import_class
from recsys_lab.config.verbs import VERBS

HEAVY = ("torch", "pytorch_lightning", "wandb", "polars", "transformers", "datasets", "pyarrow")


class TestHelp:
    @pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
    def test_the_verbs_are_explained(self, shell, arguments):
        code, out, _ = shell(*arguments)
        assert code == 0
        for name, verb in VERBS.items():
            assert f"{name} " in out
            assert verb.summary in out
            assert verb.example in out

    @pytest.mark.parametrize("verb", [(), ("toy",), ("runs",)])
    def test_version_is_the_labs(self, shell, verb):
        assert shell(*verb, "--version") == (0, "recsys-lab 0.1.0\n", "")

    def test_an_unknown_verb(self, shell):
        assert shell("trian")[::2] == (
            2,
            "recsys-lab: there is no verb 'trian'; did you mean 'train'? "
            f"Verbs: {', '.join(VERBS)}.\n",
        )

    def test_a_verbs_help_names_its_groups(self, shell):
        with pytest.raises(SystemExit) as ended:
            shell("toy", "--help")
        assert ended.value.code == 0
        out = shell.capsys.readouterr().out
        assert "toy help" in out
        assert "model: flat, net" in out
        assert "num_layers: 2" in out


class TestFlags:
    def test_cfg_shows_and_runs_nothing(self, shell):
        code, out, _ = shell("toy", "--cfg", "job", "seed=5")
        assert code == 0
        assert yaml.safe_load(out)["seed"] == 5
        assert shell.jobs == []
        assert shell.files() == {"configs", "toy_parts.py"}

    def test_cfg_of_a_package_resolved(self, shell):
        arguments = ("--cfg", "job", "--resolve", "--package", "model")
        _, out, _ = shell("toy", *arguments, "model.num_layers=${seed}")
        assert yaml.safe_load(out) == {"_target_": "toy_parts.Net", "num_layers": 0, "rate": 0.5}

    def test_cfg_with_an_unknown_key_is_a_clear_message(self, shell):
        typed = shell.refused("toy", "sead=5")
        assert "did you mean 'seed'?" in typed[-1]
        assert shell.refused("toy", "--cfg", "job", "sead=5") == typed

    def test_info(self, shell):
        code, out, _ = shell("toy", "--info", "searchpath")
        assert code == 0
        assert str(shell.folder / "configs") in out

    def test_flags_that_contradict_each_other(self, shell):
        assert "--resolve" in shell.refused("toy", "--resolve")[0]
        assert "only one of" in shell.refused("toy", "--cfg", "job", "-m")[0]

    def test_an_unknown_flag(self, shell):
        [line] = shell.refused("toy", "--seed", "3")
        assert line.endswith(
            "--seed: not a flag of toy, whose options are typed as key=value: seed=3"
        )
        [line] = shell.refused("runs", "--seed")
        assert line.endswith("--seed: runs has no such flag; its flags: recsys-lab runs --help")


class TestEvaluateArguments:
    def test_one_bare_argument(self, shell, monkeypatch):
        seen = []
        module = type(sys)("recsys_lab.cli.verbs.evaluate")
        module.run = lambda cfg, output_dir: seen.append((cfg.run, output_dir))
        monkeypatch.setitem(sys.modules, "recsys_lab.cli.verbs.evaluate", module)
        assert shell("evaluate", "runs/a=b, c's")[0] == 2  # looks like an override: no such key
        (shell.folder / "runs/a=b, c's").mkdir(parents=True)
        assert shell("evaluate", "runs/a=b, c's")[0] == 0
        assert seen == [("runs/a=b, c's", shell.folder)]

    def test_two(self, shell):
        assert shell.refused("evaluate", "a", "b") == [
            "recsys-lab: evaluate: expected one RUN, got 2: a, b"
        ]


REPOSITORY = Path(__file__).parents[2]


def fresh(*arguments: str, cwd: Path) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """The command in a fresh process, and the modules that it imports.

    Modules are counted, not seconds: `scripts/benchmark_commands.py` times them.
    """
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "recsys_lab", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}, done


def packages(modules: set[str]) -> set[str]:
    """The top-level packages of modules."""
    return {name.partition(".")[0] for name in modules}


class TestRealCommand:
    def test_help_is_quick_and_light(self, tmp_path):
        modules, done = fresh("--help", cwd=tmp_path)
        assert done.returncode == 0
        assert packages(modules).isdisjoint({*HEAVY, "hydra"})
        assert len(modules) < 250

    def test_three_mistakes_quick_and_light(self, tmp_path):
        arguments = ("train", "model.num_layer=3", "recipe.learning_rate=fast", "data.pth=x")
        modules, done = fresh(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        said = [x for x in done.stderr.splitlines() if not x.startswith("import time:")]
        assert said[0] == "recsys-lab: 3 problems in the config:"
        assert "did you mean 'num_layers'?" in done.stderr
        assert "expected a float > 0, got 'fast' (str)" in done.stderr
        assert "data.pth: " in done.stderr
        assert "did you mean 'path'" in done.stderr
        assert packages(modules).isdisjoint(HEAVY)
        assert len(modules) < 650
        assert list(tmp_path.iterdir()) == []

    def test_help_of_a_plain_verb_is_quick_and_light(self, tmp_path):
        modules, done = fresh("evaluate", "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "hydra" not in done.stdout.lower()
        assert "--verify VALUE" in done.stdout
        assert "(one of 'full', 'sizes'; default full)" in " ".join(done.stdout.split())
        assert packages(modules).isdisjoint({*HEAVY, "hydra"})
        assert len(modules) < 400

    def test_help_of_a_verb_is_light_and_composes_once(self, tmp_path, monkeypatch, capsys):
        modules, done = fresh("train", "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert packages(modules).isdisjoint({*HEAVY, "numpy"})
        assert len(modules) < 550
        copies, whole = [], CachingConfigRepository.__init__

        def copied(self, delegate):
            copies.append(delegate)
            whole(self, delegate)

        monkeypatch.setattr(CachingConfigRepository, "__init__", copied)
        monkeypatch.setattr(loader, "_MERGED", {})
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit):
            run_command(["train", "--help"])
        assert capsys.readouterr().out == done.stdout
        assert len(copies) == 1  # a copy to compose; none for each of a hundred groups

    @pytest.mark.parametrize("verb", sorted(VERBS))
    def test_each_verb_has_help(self, verb, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit):
            run_command([verb, "--help"])
        assert f"recsys-lab {verb}" in capsys.readouterr().out


COMPONENTS = sorted(
    str(file.relative_to(config_dir()))
    for file in config_dir().glob("*/*.yaml")
    if "_target_" in yaml.safe_load(file.read_text())
)


@pytest.mark.parametrize("file", COMPONENTS)
def test_each_component_yaml_gives_exactly_the_options_of_its_class(file):
    node = yaml.safe_load((config_dir() / file).read_text())
    schema = schema_of_target(node["_target_"])
    assert set(node) - {"_target_", "defaults"} == set(schema.types)
    fields = dataclasses.fields(import_class(node["_target_"]).Config)
    older = {field.name for field in fields if field.kw_only}
    assert schema.required == set(schema.types) - older, (
        "YAML owns the values: a default in Python, by keyword only, is what runs did that are "
        "older than the option"
    )


EXPERIMENTS = sorted(
    str(file.relative_to(config_dir() / "experiment").with_suffix(""))
    for file in (config_dir() / "experiment").rglob("*.yaml")
)


@pytest.mark.parametrize("verb", ["train", "prepare"])
@pytest.mark.parametrize("experiment", ["", *EXPERIMENTS])
def test_each_experiment_is_a_valid_config_of_train_and_prepare(
    verb, experiment, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    module = type(sys)("stand_in")
    monkeypatch.setitem(sys.modules, f"recsys_lab.cli.verbs.{verb}", module)
    module.run = lambda _cfg, _output_dir: None
    code = run_command([verb, *([f"experiment={experiment}"] if experiment else [])])
    assert code == 0, capsys.readouterr().err


def test_a_panic_of_a_library_is_a_message_last_of_all(shell):
    class PanicException(BaseException):
        __module__ = "pyo3_runtime"

    shell.error = PanicException("index out of bounds")
    code, _, err = shell("toy")
    assert code == 1
    assert "failed: PanicException: index out of bounds" in err
