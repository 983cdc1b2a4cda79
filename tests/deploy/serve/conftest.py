"""Small finished runs on one log, and servers for them."""

import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import polars as pl
import pytest
import yaml

from recsys_lab.config import config_dir
from recsys_lab.config.deploy_commands import ServeConfig
from recsys_lab.deploy.serve.server import Server
from tests.cli.flow import ITEMS, SMALL, in_shop, train, until

RUNS = {
    "sasrec": ["data.items_path=items.csv"],
    "timed": [
        "model=hstu", "model.time_bias=past", "inputs.context=[event.channel,event.paid]",
        "+data.event_features={channel: categorical, paid: numeric}",
    ],
    "generator": [
        "model=generative_decoder", "model.num_layers=1", "semantic_ids=random",
        "semantic_ids.codes=4", "decoding.num_beams=25",
    ],
    "popularity": ["model=popularity"],
    "ease": ["model=ease"],
}  # fmt: skip


@pytest.fixture(scope="session")
def served_runs(tmp_path_factory):
    """Folder of finished runs, each named as in `RUNS`."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        titles = [None if item % 5 == 0 else f"Item {item}" for item in range(ITEMS)]
        items = pl.DataFrame({"item_id": [f"i{n}" for n in range(ITEMS)], "title": titles})
        items.write_csv("items.csv")
        log = pl.read_csv("log.csv")
        number = pl.int_range(len(log))
        columns = {"channel": pl.when(number % 3 > 0).then(pl.lit("web")).otherwise(pl.lit("app"))}
        log.with_columns(**columns, paid=number % 7).write_csv("log.csv")
        assert train(*RUNS["sasrec"], "run_dir=sasrec", "recipe.max_epochs=1") == 0
        base = [text for text in SMALL if "feedforward" not in text]
        assert train(*RUNS["timed"], "run_dir=timed", "recipe.max_epochs=1", base=base) == 0
        assert train(*RUNS["generator"], "run_dir=generator", "recipe.max_epochs=1") == 0
        base = ["data=table", "data.path=log.csv"]
        for name in ("popularity", "ease"):
            assert train(*RUNS[name], f"run_dir={name}", base=base) == 0
    return folder


def options(source: Path, **more) -> ServeConfig:
    """The options of a server, as shipped, with a free port."""
    values = yaml.safe_load((config_dir() / "serve.yaml").read_text())
    return ServeConfig(**{**values, "source": str(source), "port": 0, "max_batch": 8, **more})


@contextmanager
def serving(source: Path, **more):
    """A client of a server in a thread."""
    server = Server(options(source, **more))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.is_started)
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
            client.server = server
            yield client
    finally:
        server.stop()
        thread.join()
