"""``recsys-lab options``: every key of every YAML with its meaning, range and default."""

from __future__ import annotations

import json

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.config.help.keys import GROUPS, choices, keys_without_meaning
from recsys_lab.config.verbs import VERBS
from tests.cli.test_shell import fresh, packages


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str, code: int = 0) -> str:
        assert run_command([*arguments]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


def test_groups_are_the_folders_of_the_configs():
    """A new group gets a line of its own; ``sweep`` is written out in the verb's file."""
    folders = {path.name for path in config_dir().iterdir() if path.is_dir()}
    assert {*GROUPS} == folders | {"sweep"}


def test_every_key_of_every_yaml_is_explained(said):
    """What is printed for each file, against the file itself."""
    assert keys_without_meaning() == []
    words = [f"{group}={name}" for group in GROUPS for name in choices(group)]
    sections = {s["title"]: s for s in json.loads(said("options", *words, "format=json"))}
    for group in GROUPS:
        for name, file in choices(group).items():
            section = sections[f"{group}={name}"]
            values = yaml.safe_load(file.read_text()) or {}
            if "_target_" not in values and not section["keys"]:  # overrides are shown as they are
                assert section["text"] == file.read_text().strip()
                continue
            keys = {key["name"]: key for key in section["keys"]}
            assert {*values} - {"_target_", "defaults"} <= {*keys}, file
            for key, value in keys.items():
                assert value["meaning"], (file, key)
                assert value["type"], (file, key)
                shown = value["defaults"][name]
                assert key not in values or yaml.safe_load(shown) == values[key], (file, key)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_key_of_a_verb_is_explained(verb, said):
    found = json.loads(said("options", verb, "format=json"))[0]
    values = yaml.safe_load((config_dir() / f"{verb}.yaml").read_text())
    own = {*values} - {"defaults", "hydra", *GROUPS} | ({"debug"} & {*values})
    keys = {key["name"]: key for key in found["keys"]}
    assert own <= {*keys}
    assert all(key["meaning"] for key in keys.values())


@pytest.mark.parametrize(
    ("verb", "key"), [(name, key) for name, verb in VERBS.items() for key in verb.refuses]
)
def test_no_key_is_listed_that_the_verb_refuses(verb, key, said):
    """`train` has each of them."""
    listed = {}
    for name in (verb, "train"):
        [section] = json.loads(said("options", name, "format=json"))[:1]
        listed[name] = [one["name"] for one in section["keys"]]
    assert key in listed["train"]
    assert key not in listed[verb]
    search = ["search=sasrec"] if verb == "sweep" else []
    told = said(verb, f"{key}=x", *search, code=2)
    assert f"{key}: not" in told
    assert VERBS[verb].refuses[key] in told


def test_a_choice_for_people(said):
    out = said("options", "model=sasrec")
    assert out.startswith("model=sasrec\n")
    assert "model.num_heads=2   an int >= 1\n      Attention heads." in out
    assert "\\" not in out
    assert "`" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_alone_and_of_a_group_or_a_key(said):
    out = said("options")
    assert all(f"\n {group} " in f"\n{out}" for group in GROUPS)
    assert "sasrec" in out
    out = said("options", "loss")
    assert "  bpr " in out
    assert "loss=softmax\n" in out  # the keys of the default
    out = said("options", "recipe.crop")
    assert "default: last (bert4rec, default, ml_1m_sasrec), sliding (tiger)" in " ".join(
        out.split()
    )
    assert "seed=0" in said("options", "seed")
    assert "It also sets loss=null semantic_ids=residual_kmeans decoding=beam" in " ".join(
        said("options", "model=tiger").split()
    )
    assert said("--help", "loss") == said("help", "loss") == said("options", "loss")
    assert said("train", "--help", "loss") == said("options", "loss")


def test_ones_own_class_by_its_docstring_or_its_yaml(said, tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(
        "from dataclasses import dataclass\nfrom typing import Annotated\n"
        "from annotated_types import Ge\n\n\nclass Net:\n    '''A net.'''\n\n"
        "    @dataclass(frozen=True)\n    class Config:\n"
        "        '''Options.\n\n        Attributes:\n            depth: number of layers.\n"
        "        '''\n\n"
        "        depth: Annotated[int, Ge(1)]\n        width: int\n"
    )
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/net.yaml").write_text(
        "_target_: my_nets.Net\ndepth: 2\nwidth: 8  # of each layer\n"
    )
    command = ["options", "model=net", "--config-dir", "conf"]
    monkeypatch.delenv("RECSYS_LAB_ALLOWED_TARGETS", raising=False)
    assert "export RECSYS_LAB_ALLOWED_TARGETS=my_nets" in said(*command, code=2)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_nets")
    out = said(*command)
    assert "model.depth=2   an int >= 1\n      Number of layers." in out
    assert "model.width=8   an int\n      Of each layer" in out
    assert "an int >= 1" in said("options", "my_nets.Net")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("modl", "there is no group, verb or key 'modl'; did you mean 'model'?"),
        ("model=sasrek", "model: no choice 'sasrek'; did you mean 'sasrec'?"),
        ("recipe.crob", "recipe.crob: no choice of recipe has such a key; did you mean 'crop'?"),
        ("os.system", "'os.system' is not under an allowed prefix"),
    ],
)
def test_what_is_not_there(word, message, said):
    assert message in said("options", word, code=2)


def test_it_is_quick_and_light(tmp_path):
    modules, done = fresh("options", "model=sasrec", cwd=tmp_path)
    assert done.returncode == 0
    assert packages(modules).isdisjoint({"torch", "polars", "pyarrow", "pytorch_lightning"})
    assert len(modules) < 600
