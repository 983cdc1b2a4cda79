"""Every HTML page that the lab makes, rich in contents, without training anything.

Each function works in the current folder, which has a ``log.csv``.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.comparison.collect import find_runs
from recsys_lab.comparison.compare import Options, compare
from recsys_lab.comparison.examples import Example, Examples
from recsys_lab.comparison.page import html as comparison_page
from recsys_lab.data.card.page import write_card as write_data_card
from recsys_lab.experiment.explain import Explanation, explanation_page
from recsys_lab.runs.model_card.page import write_card
from recsys_lab.sweeps.report.page import html as sweep_page
from tests.cli.flow import in_shop
from tests.comparison.made_runs import config, results, two_systems, write_run
from tests.data.preparation.manifests import manifest
from tests.deploy.serve.fakes import Echo, InProcess
from tests.runs.test_model_card import rich
from tests.sweeps.test_report import AGAIN, story, study

LONG = "Item with a title that is longer than a column is wide"
SYSTEMS = 6


def explanation() -> str:
    """Fifty events and ten recommendations with long titles, one a hit."""
    events, items = 50, 10
    value = [[(k - t) / (3 + (7 * t + 3 * k) % 11) for t in range(events)] for k in range(items)]
    return explanation_page(
        Explanation(
            model="SASRec",
            user="u42",
            list_number=1,
            num_lists=3,
            phase="test",
            method="occlusion",
            meaning="Each number is a difference of scores.",
            history=[f"{LONG}, no. {t}" for t in range(events)],
            history_ids=[f"i{t}" for t in range(events)],
            times=[f"2026-01-{1 + t % 28:02} 10:{t:02}" for t in range(events)],
            items=[f"{LONG}, no. {k}" if k % 2 else f"Short {k}" for k in range(items)],
            ids=[f"i{k}" for k in range(items)],
            hits=[k == 3 for k in range(items)],
            scores=[9.0 - k / 7 for k in range(items)],
            attributions=value,
            errors=[[abs(v) / (1 + t % 4) for t, v in enumerate(row)] for row in value],
            wanted=[f"{LONG}, no. 3"],
        )
    )


def comparison() -> str:
    """Systems with seeds and slices, and single runs with learning curves; one name is long."""
    folder = two_systems(Path("compared"), users=120, seeds=2)
    for place in range(SYSTEMS - 2):
        name = "x" * 60 if place == 0 else None
        named = config("SASRec", 0, model__num_layers=place + 3, name=name)
        values = {"ndcg@10": results(120, place, 0.2 * place)}
        values["popularity@10"] = values["ndcg@10"] * 0 + 10.0 + place / 9
        epochs = [{"epoch": n, "val/ndcg@10": 0.1 * (1 - 0.8**n)} for n in range(4 + place)]
        write_run(folder / f"more/{place}", values, config=named, epochs=epochs)
    records, left_out = find_runs([str(folder)])
    compared = compare(records, left_out, Options("first", None, 0.05, 100, 100, 0, "config"))
    assert len(compared.systems) == SYSTEMS
    titles = [(LONG, False), ("y" * 80, True)] * 5
    user = Example("u1", history=[LONG] * 3, targets=["y" * 80], lists=[titles] * SYSTEMS)
    return comparison_page(compared, Examples("Chosen by hand.", [user]))


def sweep() -> str:
    """Finished, pruned and failed trials, and the best again with three seeds."""
    top = [config.summary() for config in AGAIN]
    return sweep_page(story(study(), name="a sweep", top=top, sentences=["Trial 4 wins."]))


def model_card() -> str:
    record = rich(Path("run"))
    write_card(record)
    return (record.folder / "card.html").read_text()


def data_card() -> str:
    write_data_card(manifest(), Path("data.html"))
    return Path("data.html").read_text()


def semantic_ids() -> str:
    """Of codes from the vectors of a small shop, with their agreement."""
    vectors = [[float((n * k) % 7) for k in range(4)] for n in range(25)]
    table = {"item_id": [f"i{n}" for n in range(25)], "embedding": vectors}
    pl.DataFrame(table).write_parquet("vectors.parquet")
    command = ["tokenize", "data=table", "data.path=log.csv", "semantic_ids=residual_kmeans"]
    assert run_command([*command, *(f"semantic_ids.{o}" for o in
                        ("codes=4", "levels=3", "vectors=vectors.parquet"))]) == 0  # fmt: skip
    [page] = Path("prepared/semantic_ids").glob("*/card.html")
    return page.read_text()


def drift() -> str:
    """Two halves of a log, the later with other items."""
    log = pl.read_csv("log.csv").sort("timestamp")
    half = len(log) // 2
    log.head(half).write_csv("old.csv")
    later = pl.when(pl.int_range(half) % 3 > 0).then(pl.lit("new ")).otherwise(pl.lit(""))
    log.tail(half).with_columns(item_id=later + pl.col("item_id")).write_csv("new.csv")
    prepare = ["prepare", "data=table", "data.path=old.csv", "prepared_dir=drifted"]
    assert run_command([*prepare, "filter.min_user_count=0", "filter.min_item_count=0"]) == 0
    [old] = (path for path in Path("drifted").iterdir() if path.is_dir())
    command = ["drift", str(old), "new.csv", "resamples=99", "output=drift"]
    assert run_command(command) == 3  # above a threshold
    return Path("drift/drift.html").read_text()


def server() -> str:
    async def page() -> str:
        return (await InProcess(Echo()).client.get("/docs")).text

    return asyncio.run(page())


MAKERS: dict[str, Callable[[], str]] = {
    "comparison/page.html": comparison,
    "data/card/page.html": data_card,
    "deploy/drift/page.html": drift,
    "deploy/serve/page.html": server,
    "experiment/explanation_page.html": explanation,
    "runs/model_card/page.html": model_card,
    "semantic_ids/page.html": semantic_ids,
    "sweeps/report/page.html": sweep,
}
"""How each template that extends ``pages/base.html`` is filled."""


def write_every_page(folder: Path) -> dict[str, Path]:
    """The file of each page, by its template."""
    files = {}
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        for template, make in MAKERS.items():
            files[template] = folder / f"{template.replace('/', '_').removesuffix('.html')}.html"
            files[template].write_text(make())
    return files
