"""What makes two runs one system besides settings, and two metrics one: code, columns, files."""

from pathlib import Path

import numpy as np
import pytest

from recsys_lab.config import UserError
from recsys_lab.config.own_modules import find_allowed_modules_in
from recsys_lab.config.targets import ALLOWED_TARGETS_VARIABLE, find_source
from recsys_lab.evaluation.metrics.names import ACCURACY, BEYOND
from recsys_lab.runs import sources
from recsys_lab.runs.sources import source_digest
from tests.comparison.made_runs import config, results, write_run
from tests.comparison.test_compare import judged

VALUES = {"ndcg@10": results(30, 0)}
FILES = {
    "__init__.py": "",
    "run.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mine.types\n",
    "model.py": "from . import layers\n\ndef late():\n    from mine.deep.inner import x\n",
    "layers.py": "x = 1\n",
    "types.py": "x = 1\n",
    "other.py": "x = 1\n",
    "deep/__init__.py": "",
    "deep/inner.py": "import mine.layers\nimport numpy\n",
}


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("model.py", True), ("layers.py", True), ("run.py", True), ("__init__.py", True),
        ("deep/inner.py", True), ("deep/__init__.py", True),
        ("other.py", False), ("types.py", False),
    ],
)  # fmt: skip
def test_the_code_of_a_run_is_what_its_parts_import(tmp_path, monkeypatch, file, counts):
    monkeypatch.setenv(ALLOWED_TARGETS_VARIABLE, "mine")
    monkeypatch.setattr("sys.meta_path", [*__import__("sys").meta_path])
    find_allowed_modules_in(str(tmp_path))
    for name, text in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    parts = {"model": {"_target_": "mine.model.Model"}, "seed": 0}
    before = source_digest("mine.run", parts)
    assert source_digest("mine.run", parts) == before
    (tmp_path / "mine" / file).write_text(FILES[file] + "y = 2\n")
    assert (source_digest("mine.run", parts) != before) is counts


def test_models_have_code_of_their_own():
    targets = [f"recsys_lab.models.{name}.X" for name in ("sequential.sasrec", "classical.markov")]
    digests = {
        source_digest("recsys_lab.experiment.run", {"model": {"_target_": target}})
        for target in targets
    }
    assert len(digests) == 2


OWN = {
    "sampler.py": """
from dataclasses import dataclass
class Sampler:
    @dataclass
    class Config:
        size: int
""",
    "metric.py": "class Metric:\n    class Config:\n        pass\n",
}


@pytest.mark.parametrize(("file", "counts"), [("sampler.py", True), ("metric.py", False)])
def test_the_code_of_a_chosen_class_is_the_runs_but_for_metrics(
    tmp_path, monkeypatch, file, counts
):
    monkeypatch.setenv(ALLOWED_TARGETS_VARIABLE, "my_sampler,my_metric")
    monkeypatch.setattr("sys.meta_path", [*__import__("sys").meta_path])
    find_allowed_modules_in(str(tmp_path))
    for name, text in OWN.items():
        (tmp_path / f"my_{name}").write_text(text)
    chosen = {"_target_": "my_sampler.Sampler", "size": 2}
    loss = {"_target_": "recsys_lab.losses.bpr.BPRLoss", "sampling": chosen}
    protocol = "recsys_lab.evaluation.protocols.full_ranking.FullRanking"
    metrics = ["ndcg", {"_target_": "my_metric.Metric"}]
    parts = {"loss": loss, "evaluation": {"_target_": protocol, "metrics": metrics}}
    before = source_digest("recsys_lab.experiment.run", parts)
    (tmp_path / f"my_{file}").write_text(OWN[file] + "y = 2\n")
    assert (source_digest("recsys_lab.experiment.run", parts) != before) is counts


def test_every_metric_of_the_lab_is_of_the_code_of_a_run(monkeypatch):
    """They are imported by name, and may change numbers that are compared."""
    read = [find_source(f"{ACCURACY.package}.{target.rpartition('.')[0]}") for target in
            (*ACCURACY.names.values(), *BEYOND.names.values())]  # fmt: skip
    found = {}
    noted = lambda name: found.setdefault(name, find_source(name))  # noqa: E731
    monkeypatch.setattr(sources, "find_source", noted)
    target = "recsys_lab.evaluation.protocols.full_ranking.FullRanking"
    source_digest("recsys_lab.experiment.run", {"evaluation": {"_target_": target}})
    assert {*read} <= {*found.values()}


def run(folder: Path, number: int, seed: int = 0, **changes) -> None:
    day = f"2026-02-0{number + 1}T00:00:00+00:00"
    write_run(folder / str(number), VALUES, config=config(seed=seed), created=day, **changes)


def code(commit: str, source: str, dirty: bool = False):
    return {"commit": commit * 40, "dirty": dirty, "source": source}


def test_runs_of_other_code_are_systems_called_by_their_commit(tmp_path):
    run(tmp_path, 0, code=code("a", "s1"))
    run(tmp_path, 1, code=code("b", "s2"))
    run(tmp_path, 2, code=code("b", "s3", dirty=True))
    found = judged(tmp_path)
    assert found.left_out == ()
    names = [system.name for system in found.systems]
    assert names[:2] == ["SASRec code=aaaaaaa", "SASRec code=bbbbbbb"]
    assert names[2].startswith("SASRec code=bbbbbbb+")
    assert list(found.differing) == ["code"]
    assert any("different code (aaaaaaa, bbbbbbb, bbbbbbb+" in note for note in found.notes)


def test_a_commit_that_changes_none_of_it_makes_no_other_system(tmp_path):
    run(tmp_path, 0, seed=0, code=code("a", "s1"))
    run(tmp_path, 1, seed=1, code=code("b", "s1"))
    found = judged(tmp_path)
    assert [system.seeds for system in found.systems] == [(0, 1)]
    assert not any("code" in note for note in found.notes)


def test_that_models_have_files_of_their_own_is_no_other_code(tmp_path):
    for number, (model, commit) in enumerate((("SASRec", "a"), ("GRU", "b"))):
        state = {**code(commit, f"s{number}"), "shared": "all"}
        write_run(tmp_path / model, VALUES, config=config(model), code=state)
    found = judged(tmp_path)
    assert "code" not in found.differing
    assert not any("different code" in note for note in found.notes)
    write_run(tmp_path / "x", VALUES, config=config("Markov"),
              code={**code("c", "s3"), "shared": "other"})  # fmt: skip
    found = judged(tmp_path)
    assert found.differing["code"] == ("bbbbbbb", "aaaaaaa", "ccccccc")
    assert any("different code (" in note for note in found.notes)


def test_older_records_are_told_apart_by_commit_and_changes(tmp_path):
    for number, text in enumerate(("-a\n+b\n", "-a\n+b\n", "-a\n+c\n", None)):
        state = {"commit": "c0ffee", "dirty": text is not None}
        run(tmp_path, number, seed=number, code=state)
        if text is not None:
            (tmp_path / str(number) / "code.diff").write_text(text)
    assert [system.seeds for system in judged(tmp_path).systems] == [(0, 1), (2,), (3,)]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("features", ("f1", "f2")), ("text_vectors", ("t1", "t2")),
        ("precision", ("32", "bf16-mixed")), ("device", ("cpu", "cuda")),
    ],
)  # fmt: skip
def test_what_a_run_reads_and_where_it_computes_make_its_system(tmp_path, key, values):
    """Seeds of two systems, which are not merged; the same seed twice is not left out."""
    known = {"features": "f1", "text_vectors": "t1", "precision": "32", "device": "cpu"}
    for number, value in enumerate(values):
        run(tmp_path / "seeds", number, seed=number, identity={**known, key: value})
        run(tmp_path / "repeated", number, identity={**known, key: value})
    for folder in ("seeds", "repeated"):
        found = judged(tmp_path / folder)
        assert found.differing == {key: values}
        assert [system.name for system in found.systems] == [f"SASRec {key}={v}" for v in values]
        assert found.left_out == ()


def test_a_precision_is_what_it_comes_to(tmp_path):
    """``auto`` and ``32`` are one on a CPU, also in records that do not say so."""
    identity = {"precision": "32", "device": "cpu"}
    for number, (precision, noted) in enumerate(
        (("auto", identity), ("32", identity), ("auto", None), ("32", None))
    ):
        cfg = config(seed=number, recipe__precision=precision)
        known = {} if noted is None else {"identity": noted}
        write_run(tmp_path / str(number), VALUES, config=cfg, **known)
    assert [system.seeds for system in judged(tmp_path).systems] == [(0, 1, 2, 3)]
    cfg = config(seed=4, recipe__precision="bf16-mixed")
    write_run(tmp_path / "4", VALUES, config=cfg)
    assert [system.seeds for system in judged(tmp_path).systems] == [(0, 1, 2, 3), (4,)]


def test_a_metric_under_its_former_name_is_the_same_metric(tmp_path):
    for model, name in (("Popularity", "calibration@10"), ("SASRec", "miscalibration@10")):
        values = {**VALUES, name: np.linspace(0, 1, 30) + (model == "SASRec")}
        write_run(tmp_path / model, values, config=config(model))
    for asked in (None, "calibration@10"):
        found = judged(tmp_path, metric=asked)
        metric = found.metrics[1]
        assert (metric.name, metric.higher_is_better) == ("miscalibration@10", False)
        [pair] = [pair for pair in found.pairs if pair.metric == metric.name]
        assert pair.better == "Popularity"
    assert found.main_metric == "miscalibration@10"


@pytest.mark.parametrize("recorded", [True, False])
def test_a_metric_of_another_column_is_another_metric(tmp_path, recorded):
    values = {**VALUES, "calibration@10": np.linspace(0, 1, 30), "novelty@10": np.ones(30)}
    for name, column in (("Popularity", "item.category"), ("SASRec", "item.tags")):
        noted = {"option": "category_feature", "value": column, "content": column[-4:] * 4}
        write_run(
            tmp_path / name, values, config=config(name, evaluation__category_feature=column),
            **({"metrics": {"calibration@10": noted}} if recorded else {}),
        )  # fmt: skip
    found = judged(tmp_path)
    assert [metric.name for metric in found.metrics] == ["ndcg@10", "novelty@10"]
    assert {pair.metric for pair in found.pairs} == {"ndcg@10", "novelty@10"}
    (note,) = (note for note in found.notes if "miscalibration@10" in note)
    assert note.startswith("Left out: miscalibration@10 has different definitions in the runs")
    assert "category_feature=item.category" in note
    assert "category_feature=item.tags" in note
    with pytest.raises(
        UserError, match="metric: miscalibration@10 has different definitions in the runs"
    ):
        judged(tmp_path, metric="calibration@10")


def test_a_metric_is_its_content_not_the_place_of_it(tmp_path):
    values = {**VALUES, "embedding_diversity@10": np.linspace(0, 1, 30)}
    for number, (path, content) in enumerate((("a", "c1"), ("b", "c1"), ("a", "c2"))):
        noted = {"option": "embeddings_path", "value": path, "content": content}
        write_run(
            tmp_path / str(number), values, metrics={"embedding_diversity@10": noted},
            config=config(seed=number, evaluation__embeddings_path=path),
        )  # fmt: skip
    same = judged(tmp_path / "0", tmp_path / "1")
    assert [metric.name for metric in same.metrics] == ["ndcg@10", "embedding_diversity@10"]
    assert [metric.name for metric in judged(tmp_path).metrics] == ["ndcg@10"]
