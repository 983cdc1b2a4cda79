"""What the lab's messages advise exists: keys, choices, verbs, extras, pages, classes.

All texts of the package are read, without those of docstrings; an expression in an f-string counts
as a placeholder.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, command_line, config_dir, errors, install_hint
from recsys_lab.config.schema import schema_of_target
from recsys_lab.config.verbs import VERBS
from recsys_lab.runs.failure import refuse_trial
from recsys_lab.runs.record import RunRecord

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
GIVEN = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for the value of an expression."""
SUFFIXES = {"7z", "json", "safetensors"}


def texts_of(file: Path) -> Iterator[str]:
    """The strings of a module, those of f-strings whole."""
    tree = ast.parse(file.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))  # a docstring
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = (p.value if isinstance(p, ast.Constant) else GIVEN for p in node.values)
            yield "".join(map(str, parts))
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in skipped:
            yield node.value


TEXTS = [
    (f"{file.relative_to(ROOT)}: {text}", text)
    for file in sorted((ROOT / "src").rglob("*.py"))
    for text in texts_of(file)
]


@cache
def options() -> dict[str, set[str]]:
    """The options of every group, over all its classes."""
    found: dict[str, set[str]] = {}
    targets = [
        (file.relative_to(config_dir()).parts[0], node["_target_"])
        for file in config_dir().glob("*/**/*.yaml")
        if "_target_" in (node := yaml.safe_load(file.read_text()))
    ]
    sweep = yaml.safe_load((config_dir() / "sweep.yaml").read_text())
    targets += [(key, sweep[key]["_target_"]) for key in ("sweep", "search")]
    for group, target in targets:
        found.setdefault(group, set()).update(schema_of_target(target).types)
    return found


def test_options_that_are_named_exist():
    named = re.compile(r"(?<![\w./])(\w+)\.(\w+)(?=[=\s,;:.)'\[]|$)(?!\.py)")
    wrong = [
        f"{match[0]} in {where}"
        for where, text in TEXTS
        if " " in text
        for match in named.finditer(text)
        if match[1] in options()
        and match[2] not in options()[match[1]] | {"config"}
        and match[2] not in SUFFIXES
    ]
    assert not wrong


def test_choices_that_are_named_exist():
    groups = {folder.name for folder in config_dir().iterdir() if folder.is_dir()}
    named = re.compile(r"(?<![\w./])(\w+)=([a-z]\w*(?:/\w+)?)(?![\w(:/{])")
    wrong = [
        f"{match[0]} in {where}"
        for where, text in TEXTS
        for match in named.finditer(text)
        if match[1] in groups
        and match[2] not in ("own", "best", "choice", "null")
        and not (config_dir() / match[1] / f"{match[2]}.yaml").exists()
    ]
    assert not wrong


def test_commands_that_are_named_exist():
    named = re.compile(r"recsys-lab (\w+)((?: [\w.-]+=?[\w.'/-]*)*)")
    seen = 0
    for where, text in TEXTS:
        for match in named.finditer(text):
            if match[1].isupper() or match[1] in ("again", "is", "installs"):
                continue
            seen += 1
            verb = "prune" if match[0].startswith("recsys-lab runs prune") else match[1]
            assert verb in VERBS, where
            keys = {field.name for field in fields(VERBS[verb].schema)}
            for key in re.findall(r" ([a-z_]+)=", match[2]):
                assert key in keys | options().keys() | {"experiment"}, where
    assert seen > 20


def test_extras_that_are_named_exist_and_one_function_says_how_to_install_them():
    named = [extra for _, text in TEXTS for extra in re.findall(r"extra `+(\w+)`", text)]
    for file in (ROOT / "src").rglob("*.py"):
        named += re.findall(r"install_hint\(['\"](\w+)['\"]\)", file.read_text())
        assert "pip install 'recsys-lab[" not in file.read_text()
    for page in [*(ROOT / "docs").rglob("*.md"), *config_dir().rglob("*.yaml")]:
        text = page.read_text()
        assert "pip install 'recsys-lab[" not in text, page
        named += re.findall(r"pip install -e '\.\[(\w+)\]'", text)
    assert len(named) > 20
    assert set(named) <= EXTRAS.keys()
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/index.md").read_text(), re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == EXTRAS.keys()


def test_pages_and_classes_that_are_named_exist():
    for where, text in TEXTS:
        for page in re.findall(r"docs/[\w/-]+\.md", text):
            assert (ROOT / page).is_file(), where
        if " " not in text:
            continue
        for module, name in re.findall(r"\b(recsys_lab(?:\.[a-z_]+)+)\.([A-Z]\w+)", text):
            spec = find_spec(module)
            assert spec is not None, where
            assert re.search(rf"^(class )?{name}\b", Path(spec.origin).read_text(), re.M), where


@pytest.mark.parametrize(
    ("noted", "command"),
    [
        (None, ["recsys-lab[sql]"]),  # from a package index
        ({"url": "file:///a/lab.whl", "archive_info": {}}, ["recsys-lab[sql] @ file:///a/lab.whl"]),
        (
            {"url": "https://host/lab", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            ["recsys-lab[sql] @ git+https://host/lab@c0ffee"],
        ),
        ("a checkout", ["-e", "a folder[sql]"]),
    ],
)
def test_the_command_that_adds_an_extra_names_where_the_lab_came_from(
    noted, command, tmp_path, monkeypatch
):
    root = tmp_path / "a folder"
    monkeypatch.setattr(errors, "__file__", str(root / "src/recsys_lab/config/errors.py"))
    if noted == "a checkout":
        root.mkdir()
        (root / "pyproject.toml").touch()
        command[-1] = f"{tmp_path}/{command[-1]}"
    installed = tmp_path / "recsys_lab-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").touch()
    if noted is not None:
        (installed / "direct_url.json").write_text(json.dumps(noted))
    found = importlib.metadata.Distribution.at(installed)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: found)
    assert shlex.split(install_hint("sql")) == ["pip", "install", *command]


def test_a_command_survives_a_shell():
    words = ["train", "resume=runs/it's my run", "recipe.max_epochs=4"]
    assert shlex.split(command_line(*words)) == ["recsys-lab", *words]


def test_the_trial_of_a_sweep_leads_to_a_command_that_trains_its_best_config(tmp_path):
    trial = RunRecord(tmp_path / "my sweep/trials/0003", {})
    with pytest.raises(UserError, match="the sweep writes its best config when it has ended"):
        refuse_trial(trial, "no test result")
    best = tmp_path / "my sweep/configs/experiment/best.yaml"
    best.parent.mkdir(parents=True)
    best.touch()
    with pytest.raises(UserError) as told:
        refuse_trial(trial, "no test result")
    command = shlex.split(str(told.value).rpartition("best: ")[2])
    folder = str(tmp_path / "my sweep/configs")
    assert command == ["recsys-lab", "train", "--config-dir", folder, "experiment=best"]


@pytest.mark.parametrize(
    "experiment", ["ml_1m_leave_one_out/sasrec", "amazon_beauty_leave_one_out/hstu"]
)
def test_an_experiment_without_its_data_says_what_to_add(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["train", f"experiment={experiment}"]
    assert run_command(command) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"experiment={experiment} needs: data.path=FILE," in said
    [other] = re.findall(r"or (data=.*), which downloads", said)
    assert run_command([*command, *other.split(), "--cfg", "job"]) == 0
    assert "published" in capsys.readouterr().out
    assert not Path("prepared").exists()
