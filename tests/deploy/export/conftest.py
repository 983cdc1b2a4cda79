"""One run and its export, and graphs of small untrained models, each made once."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

import recsys_lab
from recsys_lab.cli.main import run_command
from recsys_lab.deploy.export import program as program_module
from recsys_lab.deploy.export.exported import ExportedModel
from recsys_lab.deploy.export.graph import INPUTS, traced, write_onnx
from recsys_lab.deploy.export.program import Program, folded
from recsys_lab.models.sequential.bert4rec import BERT4Rec
from recsys_lab.models.sequential.bsarec import BSARec
from recsys_lab.models.sequential.gru4rec import GRU4Rec
from recsys_lab.models.sequential.hstu import HSTU
from recsys_lab.models.sequential.sasrec import SASRec
from tests.cli.flow import SMALL, in_shop, train

V, WINDOW, K = 23, 6, 8
TIED = [3, 5, 17]  # items with one vector
_COMMON = {"hidden_dim": 8, "max_length": WINDOW, "dropout": 0.1, "init_std": 0.3}
_BLOCKS = {"num_layers": 1, "num_heads": 2, "feedforward_dim": 8, "attention_dropout": 0.1}
MODELS = {
    "sasrec": (SASRec, {
        **_COMMON, **_BLOCKS, "activation": "gelu", "norm": "pre", "gated": False, "tied": True,
        "position_origin": "start", "scale_embedding": False,
    }),
    "hstu": (HSTU, {
        **_COMMON, "num_layers": 1, "num_heads": 2, "attention_dropout": 0.1, "time_bias": "past",
    }),
    "gru4rec": (GRU4Rec, {**_COMMON, "recurrent_dim": 7, "num_layers": 2}),
    "bsarec": (BSARec, {**_COMMON, **_BLOCKS, "filter_share": 0.7, "cutoff": 3}),
    "bert4rec": (BERT4Rec, {
        **_COMMON, **_BLOCKS, "mask_probability": 0.2, "last_probability": 0.1,
    }),
}  # fmt: skip


@pytest.fixture(scope="session")
def monkeypatch_session():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def _best_without_ties(scores_BV, k, users_B):
    del users_B
    scores_BK, items_BK = scores_BV.topk(k, dim=1)
    return items_BK.masked_fill(scores_BK == -torch.inf, -1), scores_BK


@pytest.fixture(scope="session", params=MODELS)
def graph(request, tmp_path_factory, monkeypatch_session):
    """A model, ``model``, and ``run(items, seen, users, times)``, its ONNX graph."""
    made, options = MODELS[request.param]
    torch.manual_seed(1)
    model = made(made.Config(**options), num_items=V).eval().requires_grad_(False)
    has_ties = request.param == "sasrec"
    if has_ties:
        model.items.weight[TIED] = model.items.weight[TIED[0]].clone()
    else:  # half of the time to trace a graph is for its ties, the same for all models
        monkeypatch_session.setattr(program_module, "best_items", _best_without_ties)
    if request.param == "hstu":
        model.cosine = True
    is_candidate_V = torch.arange(V) != 4 if request.param == "bsarec" else None
    ranks_empty = request.param == "bert4rec"
    program = Program(folded(model), K, is_candidate_V, ranks_empty=ranks_empty).eval()
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_onnx(traced(program, reads_times=model.reads_times), path)
    monkeypatch_session.undo()
    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_inputs()]
    assert names == list(INPUTS[: len(names)])

    def run(*arrays):
        return session.run(None, dict(zip(names, arrays, strict=False)))

    return SimpleNamespace(
        model=model,
        run=run,
        path=path,
        ranks_empty=ranks_empty,
        has_ties=has_ties,
        not_candidates=[] if is_candidate_V is None else [4],
    )


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A folder with a run, ``run``, its export, ``export``, and a run of counts, ``counts``."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        small = [*SMALL, "model.num_layers=1", "recipe.max_epochs=1"]
        assert train("run_dir=run", base=small) == 0
        assert train("model=popularity", "run_dir=counts", base=SMALL[:2]) == 0
        options = ["output=export", "int8=true", "users=true", "program=true"]
        assert run_command(["export", "run", *options]) == 0
    return folder


@pytest.fixture(scope="session")
def lab(shop):
    return recsys_lab.load(shop / "run").ranker


@pytest.fixture(scope="session")
def exported(shop):
    return ExportedModel(shop / "export")


def padded(rows, value=-1):
    """Lists as a rectangle."""
    width = max(1, *map(len, rows))
    return np.array([[*row, *[value] * (width - len(row))] for row in rows], np.int64)
