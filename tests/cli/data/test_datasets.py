from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from tests.cli.test_shell import HEAVY, fresh, packages

MINE = {
    "gowalla",
    "lastfm",
    "retailrocket",
    "diginetica",
    "yoochoose",
    "online_retail",
    "yambda",
    "kuairand",
}


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What the command prints, run in an empty folder, on a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: str, code: int = 0) -> str:
        assert run_command(["datasets", *arguments]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


@pytest.fixture
def listed(said):
    return {entry["name"]: entry for entry in json.loads(said("format=json"))}


def test_every_config_of_the_group_is_listed(listed):
    files = {file.stem for file in (config_dir() / "data").glob("*.yaml")}
    assert set(listed) == files
    assert files >= MINE
    assert [name for name, entry in listed.items() if entry["kind"] == "unreadable"] == []


def test_published_sets_come_first_and_say_all(listed):
    kinds = [entry["kind"] for entry in listed.values()]
    assert kinds == sorted(kinds)  # dataset, source
    for name in MINE:
        entry = listed[name]
        assert entry["kind"] == "dataset"
        assert entry["homepage"].startswith("http")
        for key in ("title", "size", "licence", "needs", "citation"):
            assert entry[key], (name, key)
        assert entry["notes"]
        shipped = yaml.safe_load((config_dir() / "data" / f"{name}.yaml").read_text())
        assert entry["options"] == {k: v for k, v in shipped.items() if k != "_target_"}


def test_sources_of_ones_own_data_are_listed_as_such(listed):
    for name in ("table", "sequences", "synthetic_shop"):
        assert listed[name]["kind"] == "source"
        assert listed[name]["licence"] == "depends on your data"
    assert listed["table"]["title"].startswith("A user's own log: CSV")


def test_it_says_what_a_download_is_compared_with(listed, said):
    checked = {name: e["checked"] for name, e in listed.items() if e["kind"] == "dataset"}
    assert len(checked) == 18
    published = {name for name, text in checked.items() if text == "the published MD5"}
    assert published == {name for name in checked if name.startswith("movielens")} | {"kuairand"}
    own = {name for name, text in checked.items() if text == "nothing: you provide the file"}
    assert own == {"diginetica", "retailrocket", "yelp", "yoochoose"}
    first = "the SHA-256 recorded at the first download, or data.sha256"
    rest = set(checked) - published - own
    for name in rest:
        assert checked[name] == first
        assert "sha256" in listed[name]["options"]
    assert f"checked against: {first}" in said("gowalla")


def test_commands(listed):
    assert listed["gowalla"]["command"] == "recsys-lab prepare data=gowalla"
    assert listed["table"]["command"] == "recsys-lab prepare data=table data.path=PATH"
    assert listed["diginetica"]["command"] == "recsys-lab prepare data=diginetica data.path=PATH"
    assert listed["synthetic_shop"]["command"] == "recsys-lab prepare data=synthetic_shop"


def test_one_line_a_dataset_on_a_narrow_terminal(said, listed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in said().splitlines()]
    assert max(map(len, lines)) <= 80
    for name, entry in listed.items():
        [line] = [line for line in lines if line.split()[:1] == [name]]
        if entry["kind"] == "dataset":
            assert ("downloaded" if "download_dir" in entry["options"] else "by hand") in line
    assert "33,003,944 clicks" in next(line for line in lines if line.startswith("yoochoose"))
    names = [line.split()[0] for line in lines if line]
    assert names.index("yoochoose") < names.index("other") < names.index("sequences")


def test_one(said):
    out = said("kuairand")
    assert "KuaiRand  (data=kuairand)" in out
    assert "https://doi.org/10.1145/3511808.3557624" in out
    assert "Leak: video_features_statistic" in out
    assert "data.variant=27k: 322,278,385 exposures" in out
    assert 'data.signals=["is_click"]' in out
    assert out.rstrip().endswith("command: recsys-lab prepare data=kuairand")
    assert json.loads(said("kuairand", "format=json"))["name"] == "kuairand"


def test_an_unknown_one(said):
    message = said("gowala", code=2)
    assert message.startswith(
        "recsys-lab: name: there is no dataset 'gowala'; did you mean 'gowalla'? Datasets:"
    )


def test_an_unknown_format(said):
    assert "format" in said("format=xml", code=2)


def test_the_users_own_folder(said, tmp_path):
    folder = tmp_path / "mine" / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "gowalla_new.yaml").write_text("defaults: [gowalla]\npath: here.gz\n")
    (folder / "deep/odd.yaml").write_text("_target_: os.path.Join\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "table.yaml").write_text(
        "_target_: recsys_lab.data.sources.sequences.Sequences\npath: x\n"
    )
    out = said("--config-dir", str(tmp_path / "mine"), "format=json")
    entries = {entry["name"]: entry for entry in json.loads(out)}
    mine = entries["gowalla_new"]
    assert (mine["title"], mine["options"]["path"]) == ("Gowalla check-ins (SNAP)", "here.gz")
    # Hydra looks into the lab's folder first, so data=table still means the lab's.
    assert entries["table"]["options"]["path"] is None
    assert entries["deep/odd"]["kind"] == "unreadable"
    assert "not under an allowed prefix" in entries["deep/odd"]["title"]
    assert "is not a mapping of options" in entries["list"]["title"]


def test_the_real_command_is_quick_and_light(tmp_path):
    modules, done = fresh("datasets", cwd=tmp_path)
    assert done.returncode == 0
    others = {"numpy", "hydra", "pyspark", "duckdb"}  # polars is in the readers' constants
    assert packages(modules).isdisjoint({*HEAVY, *others} - {"polars"})
    assert len(modules) < 800
    assert list(Path(tmp_path).iterdir()) == []


def test_help(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_command(["datasets", "--help"])
    assert "recsys-lab datasets gowalla" in capsys.readouterr().out
