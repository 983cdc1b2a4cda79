"""The champion in MLflow's registry and as W&B's artifact, after it is champion in the folder."""

import json
import os
import shlex
from pathlib import Path

import pytest

from recsys_lab.deploy.mirrors.base import mirror_of
from recsys_lab.deploy.registry import Registry
from recsys_lab.runs.record import FITTED
from tests.cli.flow import rewrite
from tests.deploy.promote.test_promote import champion, promote
from tests.support.wandb_server import running_server

# MLflow's store uses what SQLAlchemy 2.1 wants to remove.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture
def store(shop, monkeypatch):
    """A client of an MLflow store in the shop's folder."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_in(shop))
    return MlflowClient(tracking_uri=store_in(shop))


def store_in(folder):
    """Absolute, as MLflow keeps what it has opened for the life of a process."""
    return f"sqlite:///{folder}/models.db"


@pytest.fixture
def wandb(shop, monkeypatch):
    """A stand-in for W&B's server, to which one is logged in."""
    import wandb as client

    del shop
    client.teardown()  # also its variable of the service, which would come back stale at the end
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    with running_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.address)
        yield server
        client.teardown()


def test_a_champion_is_a_version_with_the_alias_and_its_files(store, shop, capsys):
    assert promote("pop_old", "mirror=mlflow:shop") == 0
    assert "copied: models:/shop@champion is version 1" in capsys.readouterr().out
    version = store.get_model_version_by_alias("shop", "champion")
    assert version.tags["run"] == str(shop / "pop_old")
    assert version.tags["registry_version"] == "1"
    stored = version.source.rpartition("/")[2]
    folder = Path(store.download_artifacts(version.run_id, stored, str(shop)))
    got = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    names = ("config.yaml", "run.json", FITTED)
    assert got == {name: (shop / "pop_old" / name).read_bytes() for name in names}


def test_the_alias_follows_promotions_and_rollbacks_and_equal_files_are_one_version(store):
    assert promote("pop_old", "mirror=mlflow:shop") == 0
    assert promote("knn_new", "margin=0.05", "mirror=mlflow:shop") == 0
    assert store.get_model_version_by_alias("shop", "champion").version == 2
    assert promote("pop_new", "mirror=mlflow:shop") == 3  # refused: nothing is copied
    assert len(store.search_model_versions("name='shop'")) == 2
    assert promote("--rollback", "mirror=mlflow:shop") == 0
    assert promote("mirror=mlflow:shop") == 0  # the champion again: nothing changes
    version = store.get_model_version_by_alias("shop", "champion")
    assert (version.version, version.tags["registry_version"]) == (1, "3")
    assert len(store.search_model_versions("name='shop'")) == 2
    assert champion() == "pop_old"


def test_files_are_those_of_the_export_in_the_run_that_was_tracked(store, shop):
    experiment = store.create_experiment("recsys_lab")
    tracked = store.create_run(experiment).info.run_id
    values = json.loads((shop / "pop_old" / "run.json").read_text())
    (shop / "export" / "sub").mkdir(parents=True)
    (shop / "export" / "model.onnx").write_text("weights")
    (shop / "export" / "sub" / "items.parquet").write_text("ids")
    rewrite("pop_old", {**values, "trackers": {"mlflow": tracked}})
    assert promote("pop_old", "export=export", "mirror=mlflow:shop") == 0
    version = store.get_model_version_by_alias("shop", "champion")
    assert version.run_id == tracked
    [folder] = store.list_artifacts(tracked)
    assert version.source.endswith(folder.path)
    names = {file.path for file in store.list_artifacts(tracked, folder.path)}
    assert names == {f"{folder.path}/model.onnx", f"{folder.path}/sub"}


def test_a_store_that_fails_after_the_promotion(store, shop, capsys, monkeypatch):
    monkeypatch.setattr(
        "mlflow.MlflowClient.set_registered_model_alias",
        lambda *_: (_ for _ in ()).throw(OSError("the line is dead")),
    )
    assert promote("pop_old", "mirror=mlflow:shop", "registry=a shop") == 4
    told = capsys.readouterr().err
    assert "it was not copied (the line is dead)" in told
    assert champion("a shop") == "pop_old"
    monkeypatch.undo()
    monkeypatch.chdir(shop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_in(shop))
    advice = told.strip().partition("recsys-lab promote ")[2]
    assert promote(*shlex.split(advice)) == 0
    assert store.get_model_version_by_alias("shop", "champion").version == 1


def test_an_artifact_of_wandb_has_the_alias_until_the_next_champion(wandb, capsys):
    assert promote("pop_old", "mirror=wandb:me/mine/shop") == 0
    assert "copied: me/mine/shop:champion is v0" in capsys.readouterr().out
    assert promote("knn_new", "margin=0.05", "mirror=wandb:shop") == 0
    assert "copied: me/recsys_lab/shop:champion is v1" in capsys.readouterr().out
    first, second = wandb.artifacts["shop"].values()
    assert ("champion" in first.aliases, "champion" in second.aliases) == (False, True)
    assert json.loads(second.metadata)["registry_version"] == "2"
    assert promote("--rollback", "mirror=wandb:shop") == 0
    assert len(wandb.artifacts["shop"]) == 2
    assert "champion" in first.aliases


@pytest.mark.parametrize(
    ("mirror", "variables", "message"),
    [
        ("shop", {}, "expected mlflow:NAME, wandb:NAME or wandb:ENTITY/PROJECT/NAME"),
        ("mlflow:", {}, "expected mlflow:NAME"),
        ("mlflow:a/b", {}, "a model's name has no '/', no ':' and no quotes"),
        ("mlflow:a'b", {}, "a model's name has no '/', no ':' and no quotes"),
        ("wandb:a/b", {}, "expected NAME or ENTITY/PROJECT/NAME"),
        ("mlflow:shop", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "does not answer"),
        ("wandb:shop", {"WANDB_MODE": "offline"}, "unset WANDB_MODE"),
        ("wandb:shop", {"WANDB_API_KEY": ""}, "wandb login"),
    ],
)
def test_what_cannot_be_copied_is_refused_before_the_work(
    wandb, shop, capsys, monkeypatch, mirror, variables, message
):
    del wandb
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    before = sorted(shop.rglob("*"))
    assert promote("pop_old", f"mirror={mirror}") == 2
    assert message in capsys.readouterr().err
    assert sorted(shop.rglob("*")) == before


@pytest.mark.usefixtures("shop")
def test_without_an_address_or_a_champion(capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert promote("pop_old", "mirror=mlflow:shop") == 2
    assert "MLFLOW_TRACKING_URI is not set" in capsys.readouterr().err
    assert promote("mirror=mlflow:shop") == 2
    assert "no champion yet, so there is nothing to copy" in capsys.readouterr().err


def test_a_dry_run_copies_nothing(store):
    assert promote("pop_old", "mirror=mlflow:shop", "--dry-run") == 0
    assert not Registry("registry").file.exists()
    assert not store.search_registered_models()


def test_the_server_of_the_run_is_used_where_mlflow_tracked_it(shop, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    values = json.loads((shop / "pop_old" / "run.json").read_text())
    values["config"]["tracking"] |= {"trackers": ["mlflow"], "mlflow_uri": store_in(shop)}
    rewrite("pop_old", values)
    mirror = mirror_of("mlflow:shop", shop / "pop_old")
    mirror.connect()
    assert (shop / "models.db").exists()
