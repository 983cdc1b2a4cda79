"""Configs that are composed again in one process."""

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from recsys_lab.config import config_dir
from recsys_lab.config.commands import TrainConfig
from recsys_lab.config.compose import Request, loader, make_loader
from recsys_lab.config.compose.refused_settings import RefusedSetting
from recsys_lab.config.errors import UserError

HOME = ["data=synthetic_shop", "model.hidden_dim=8", "seed=3"]


def composed(folder=None, overrides=HOME):
    request = Request(
        config_path=config_dir(), config_name="train", config_dir=folder, overrides=overrides,
        multirun=False, schema=TrainConfig,
    )  # fmt: skip
    return make_loader(request).load_configuration("train", overrides, RunMode.RUN)


def text(cfg):
    return OmegaConf.to_yaml(cfg, resolve=False)


@pytest.fixture
def nothing_kept(monkeypatch):
    monkeypatch.setattr(loader, "_MERGED", {})


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    "overrides",
    [HOME, ["data=movielens_1m", "model=gru4rec"], ["loss=gbce", "+note=x", "~filter"]],
)
def test_the_second_time_is_the_first_time(monkeypatch, overrides):
    first = text(composed(overrides=overrides))
    composed(overrides=["seed=9", "model.hidden_dim=32", "data=synthetic_shop"])
    assert text(composed(overrides=overrides)) == first
    monkeypatch.setattr(loader, "_MERGED", {})
    assert text(composed(overrides=overrides)) == first


@pytest.mark.usefixtures("nothing_kept")
def test_what_is_changed_in_a_config_is_not_in_the_next():
    before = composed()
    expected = text(before)
    before.model.hidden_dim = 77
    before.hydra.run.dir = "elsewhere"
    OmegaConf.set_struct(before, False)
    before.model.new = before.data
    assert text(composed()) == expected


@pytest.mark.usefixtures("nothing_kept")
def test_a_file_that_was_edited_is_read_again(tmp_path):
    own = tmp_path / "model" / "own.yaml"
    own.parent.mkdir()
    own.write_text("_target_: x.Y\nwidth: 1\n")
    assert composed(str(tmp_path), ["model=own", *HOME[:1]]).model.width == 1
    own.write_text("_target_: x.Y\nwidth: 2\n")
    assert composed(str(tmp_path), ["model=own", *HOME[:1]]).model.width == 2
    own.write_text("# @package _global_\nhydra:\n  callbacks: {a: {_target_: os.system}}\n")
    with pytest.raises((UserError, RefusedSetting), match="callbacks"):
        composed(str(tmp_path), ["model=own", *HOME[:1]])
    own.write_text("_target_: x.Y\nwidth: 1\n")
    assert composed(str(tmp_path), ["model=own", *HOME[:1]]).model.width == 1
