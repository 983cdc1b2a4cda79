"""Secrets on the command line: refused where a run needs them, else in no file and no output."""

from __future__ import annotations

import json
import shutil
import socketserver
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from tests.cli.flow import COUNTS, SMALL, in_shop, record

CANARY = "c4nary-9f"
REFUSED = [
    (f"data.path=https://host/log.csv?X-Amz-Signature={CANARY}", "data.path=env:LOG_URL"),
    (f"data.path=s3://me:{CANARY}@bucket/log.csv", "data.path=env:LOG_URL"),
    (f"data.items_path=https://me:{CANARY}@host/items.csv", "data.items_path=env:LOG_URL"),
    (f"tracking.mlflow_uri=postgresql://me:{CANARY}@host/db", "tracking.mlflow_uri=null"),
    (f"tracking.mlflow_uri=https://me:{CANARY}@host", "MLFLOW_TRACKING_URI"),
    (f"prepared_dir='s3://bucket/x?token={CANARY}'", "prepared_dir: contains a secret"),
    ("tracking.project='${oc.env:SHOP_TOKEN}'", "tracking.project: contains a secret"),
    (f"model.hidden_dim='password={CANARY}'", "expected an int"),
    (f"data.password={CANARY}", "has no option 'password'"),
    (f"++data.event_features.x='mysql://me:{CANARY}@host'", "data.event_features.x: contains"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture
def shop(folder, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with in_shop(folder, monkeypatch):
        yield folder


def found_in(folder: Path) -> list[Path]:
    """The files that hold the secret, in their names too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if CANARY.encode() in path.read_bytes() or CANARY in str(path)]


@pytest.mark.parametrize(("override", "said"), REFUSED, ids=[said for _, said in REFUSED])
@pytest.mark.parametrize("verb", ["train", "prepare"])
def test_a_secret_that_a_run_needs_is_refused_with_its_place(shop, capsys, verb, override, said):
    before = sorted(shop.rglob("*"))
    assert run_command([verb, *SMALL, override]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert CANARY not in out + err
    assert sorted(shop.rglob("*")) == before


@pytest.mark.usefixtures("shop")
def test_a_setting_of_spark_is_refused_with_its_place(capsys):
    key = "spark.hadoop.fs.s3a.secret.key"
    settings = f"engine.settings={{{key}: {CANARY}}}"
    assert run_command(["train", *SMALL, "engine=spark", settings]) == 2
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    advice = f"engine.settings_env={{{key}: MY_SECRET}}"
    assert f"'+{advice}'" in err
    assert run_command(["train", *SMALL, "engine=spark", f"+{advice}", "--cfg", "job"]) == 0


@pytest.mark.usefixtures("shop")
def test_a_password_in_a_url_is_refused_also_where_a_config_is_printed(capsys):
    url = f"data.url=postgresql://me:{CANARY}@host/db"
    for flags in ([], ["--cfg", "job"]):
        assert run_command(["train", "data=sql", url, *flags]) == 2
        out, err = capsys.readouterr()
        assert "data.password_env=DB_PASSWORD" in err
        assert CANARY not in out + err


TEXTS = [
    f"notes='of ${{oc.env:SHOP_TOKEN}} and mysql://me:{CANARY}@host password={CANARY}'",
    f"tags=[plain,'token={CANARY}','${{oc.env:SHOP_TOKEN}}']",
    "group='${oc.env:SHOP_TOKEN}'",
    f"name='run https://host/x?sig={CANARY}'",
]


@pytest.mark.filterwarnings("ignore")  # of MLflow's own dependencies
def test_no_file_and_no_output_of_a_run_holds_a_secret(shop, monkeypatch, capfd):
    trackers = "tracking.trackers=[wandb,mlflow,tensorboard,csv]"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=20")
    command = [
        "train", *SMALL, "recipe.max_epochs=1", "tracking=mlflow", trackers,
        "tracking.mlflow_uri=null", "tracking.artifacts=true", "run_dir=run", *TEXTS,
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["recsys-lab", *command])
    assert run_command(command) == 0
    for verb in (["show", "run", "--card"], ["evaluate", "run"], ["train", "resume=run"]):
        assert run_command(verb) == 0
    assert run_command(["compare", "run", "output=compared"]) == 0
    assert run_command(["runs", "dir=.", "columns=[name,notes,tags,group]"]) == 0
    said = capfd.readouterr()
    assert CANARY not in said.out + said.err
    assert found_in(shop) == []
    values = record("run")
    assert values["config"]["notes"] == "of *** and mysql://me:***@host password=***"
    assert values["config"]["tags"] == ["plain", "token=***", "***"]
    assert values["name"] == "run https://host/x?sig=***"
    assert any("notes='of" in word for word in values["command"])
    assert OmegaConf.load("run/config.yaml").notes == values["config"]["notes"]
    assert sorted(values["trackers"]) == ["csv", "mlflow", "tensorboard", "wandb"]


def test_a_failure_is_told_without_secrets(shop, monkeypatch, capfd):
    def fails(*_):
        raise RuntimeError(f"could not reach postgresql://me:{CANARY}@host: host=x sig={CANARY}")

    monkeypatch.setattr("recsys_lab.experiment.recording.execute", fails)
    assert run_command(["train", *COUNTS, "run_dir=failed"]) == 1
    said = capfd.readouterr()
    assert "RuntimeError: could not reach postgresql://me:***@host" in said.err
    assert CANARY not in said.out + said.err
    assert "me:***@host" in Path("failed/run.log").read_text()
    assert record("failed")["failure"] == {
        "type": "RuntimeError",
        "message": "could not reach postgresql://me:***@host: host=x sig=***",
    }
    assert found_in(shop / "failed") == []


def test_a_sweep_keeps_secrets_to_the_file_of_its_owner(shop, capfd):
    command = [
        "sweep", *COUNTS, "sweep.n_trials=1", "sweep.workers=1", "sweep.pruner=none",
        "sweep.name=s", "search.params.evaluation.exclude_seen=choice(true)",
        *TEXTS[:2],
    ]  # fmt: skip
    assert run_command(command) == 0
    said = capfd.readouterr()
    assert CANARY not in said.out + said.err
    sweep = shop / "sweeps" / "s"
    assert found_in(sweep) == [sweep / "plan.json"]
    assert (sweep / "plan.json").stat().st_mode & 0o077 == 0
    assert "notes: of *** and" in (sweep / "configs/experiment/best.yaml").read_text()
    for name in ("sweep.json", "report.html", "report.md"):
        assert (sweep / name).stat().st_size
    trial = json.loads((sweep / "trials/0000/run.json").read_text())
    assert trial["config"]["tags"] == ["plain", "token=***", "***"]


class Signed(SimpleHTTPRequestHandler):
    """Serves a folder to those who give one of two signatures, as it was written, for GET."""

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self.send_error(403)

    def do_GET(self):
        signed = self.path.endswith((f"X-Amz-Signature={CANARY}%2Fa%2B", "X-Amz-Signature=other"))
        if signed:
            super().do_GET()
        else:
            self.send_error(403)


def test_a_presigned_address_is_read_and_left_out(shop, monkeypatch, capfd):
    (shop / "site").mkdir()
    shutil.copy("log.csv", "site/log.csv")
    handler = partial(Signed, directory=str(shop / "site"))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_address[1]}/log.csv?X-Amz-Date=1&X-Amz-Signature="
        command = ["train", *COUNTS, "data.path=env:LOG_URL", "prepared_dir=signed"]
        monkeypatch.setenv("LOG_URL", f"{at}{CANARY}%2Fa%2B")
        assert run_command([*command, "run_dir=signed_1"]) == 0
        monkeypatch.setenv("LOG_URL", f"{at}other")
        assert run_command([*command, "run_dir=signed_2"]) == 0
        assert run_command(["evaluate", "signed_1"]) == 0
        monkeypatch.setenv("LOG_URL", f"{at}{CANARY}-expired")
        assert run_command(["prepare", *command[1:]]) == 2
        server.shutdown()
    monkeypatch.delenv("LOG_URL")
    assert run_command(["prepare", *command[1:]]) == 2
    said = capfd.readouterr()
    assert "cannot be read (ClientResponseError: 403" in said.err
    assert "data.path=env:LOG_URL: this environment variable is not set" in said.err
    assert CANARY not in said.out + said.err
    (prepared,) = Path("signed").iterdir()  # two signatures, one content
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert manifest["source"]["key"]["path"]["name"] == "log.csv"
    assert record("signed_1")["data"]["fingerprint"] == record("signed_2")["data"]["fingerprint"]
    assert record("signed_1")["config"]["data"]["path"] == "env:LOG_URL"
    assert [path for path in found_in(shop) if path.name != "plan.json"] == []


@pytest.mark.usefixtures("shop")
def test_mlflow_needs_an_address(capsys):
    command = ["train", *COUNTS, "tracking=mlflow", "tracking.mlflow_uri=null", "run_dir=no_uri"]
    assert run_command(command) == 2
    assert "the environment variable MLFLOW_TRACKING_URI is not set" in capsys.readouterr().err
