"""Encoders by name: no network for a folder, one question to the Hub, and not a word of it."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import HfApi

from recsys_lab.config import UserError
from recsys_lab.models.inputs import text_vectors as encoding
from recsys_lab.models.inputs.text_vectors import text_vectors
from tests.models.sequential.test_transformer import small


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Names that the Hub was asked for; there is no copy of any on this machine."""
    names = []

    def answer(_, name, **__):
        names.append(name)
        logging.getLogger("huggingface_hub").warning("Retrying in 1s")
        if name == "nobody/nothing":
            raise OSError("no network\nand more of it")
        return SimpleNamespace(sha=f"commit {len(names)}")

    monkeypatch.setattr(HfApi, "model_info", answer)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return names


@pytest.mark.parametrize("source", ["/nowhere", "./models/x", "a/b/c", "~/x", "file.txt"])
def test_what_can_only_be_a_folder_asks_no_network(source, asked, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    with pytest.raises(UserError, match=r"inputs\.encoder: cannot load .*there is no such folder"):
        text_vectors(["a"], source, tmp_path)
    with pytest.raises(UserError, match=r"model\.pretrained: cannot load .*no such folder"):
        small("gpt2", pretrained=source)
    assert asked == []
    assert capfd.readouterr() == ("", "")


def test_an_absent_hub_is_asked_once_and_told_in_one_line(asked, tmp_path, capfd):
    said = r"^inputs\.encoder: cannot load 'nobody/nothing' \(no network\); give"
    with pytest.raises(UserError, match=said):
        text_vectors(["a"], "nobody/nothing", tmp_path)
    assert asked == ["nobody/nothing"]
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def loaded(monkeypatch):
    """Commits of the encoders that were loaded; each encodes a text as its own number."""
    commits = []

    def load(_, commit, *__):
        commits.append(commit)
        number = len(commits)
        return SimpleNamespace(encode=lambda texts, **_: np.full((len(texts), 2), number))

    monkeypatch.setattr(encoding, "_load", load)
    return commits


def test_a_new_commit_on_the_hub_is_encoded_anew(asked, loaded, tmp_path):
    first = text_vectors(["a"], "some/encoder", tmp_path)
    second = text_vectors(["a"], "some/encoder", tmp_path)
    assert asked == ["some/encoder"] * 2
    assert loaded == ["commit 1", "commit 2"]
    assert (first[0, 0], second[0, 0]) == (1, 2)


def test_the_copy_on_this_machine_says_its_commit(asked, loaded, tmp_path):
    """As the Hub's library lays it out."""
    model = tmp_path / "hub" / "models--some--encoder"
    for commit in ("abc", "def"):
        (model / "snapshots" / commit).mkdir(parents=True)
        (model / "snapshots" / commit / "config.json").write_text("{}")
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / "main").write_text(commit)
        for _ in range(2):
            text_vectors(["a"], "some/encoder", tmp_path / "cache")
    assert loaded == ["abc", "def"]
    assert asked == []
