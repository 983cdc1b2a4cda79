"""Evaluation on 1, 2 and 3 processes: the same per-user rows and metrics, to the last bit."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from recsys_lab.evaluation.fairness import GroupExposure, MetricGap
from recsys_lab.evaluation.metrics.accuracy import NDCG, hits_of
from recsys_lab.evaluation.metrics.names import accuracy_names
from recsys_lab.evaluation.metrics.registry import BEYOND, KNOWN, make_beyond
from recsys_lab.evaluation.protocols.base import evaluate
from recsys_lab.evaluation.protocols.full_ranking import FullRanking
from recsys_lab.models.ranking import top_k
from tests.evaluation.batches import catalogue, users

SIZE = 30
CONFIG = FullRanking.Config(
    metrics=sorted({*KNOWN} - {*BEYOND}), ks=[1, 5], exclude_seen=True, max_k=8,
    score_mib=1,
    beyond_accuracy=sorted(BEYOND), beyond_ks=[5], category_feature=None, embeddings_path=None,
    candidates="all", release_column=None, value_feature="item.price",
)  # type: ignore[arg-type]  # fmt: skip


class Table:
    """A fixed random score of every user and item; many are equal."""

    def recommend(self, batch, k, exclude):
        generator = torch.Generator().manual_seed(1)
        scores_UV = torch.randint(9, (40, SIZE), generator=generator).float()
        return top_k(scores_UV[batch.users_B], k, exclude, batch.users_B)


def people(number: int) -> list[tuple[list[int], list[int]]]:
    """History and targets of each; some have several targets, one of them twice."""
    generator = torch.Generator().manual_seed(2)

    def draw(most: int) -> list[int]:
        length = int(torch.randint(1, most, (1,), generator=generator))
        return torch.randint(SIZE, (length,), generator=generator).tolist()

    return [(draw(9), draw(4)) for _ in range(number)]


def judge(folder: Path, number: int, rank: int, world: int, padded: bool) -> None:
    """Evaluate this process's users; the first process writes what it finds."""
    everyone = people(number)
    mine = list(range(rank, number, world))
    if padded and len(mine) < -(-number // world):
        mine.append(0)  # as samplers of equal length do
    batches = [
        users(*map(list, zip(*(everyone[u] for u in part), strict=True)), first=part[0])
        for part in ([u] for u in mine)
    ]
    batches = [replace(b, target_values_G=1.0 + b.target_items.double()) for b in batches]
    kinds = catalogue(list(range(SIZE)), [[i % 4] for i in range(SIZE)], torch.eye(SIZE).tolist())
    protocol = FullRanking(CONFIG)
    protocol.num_items = SIZE
    beyond = make_beyond(CONFIG.beyond_accuracy, CONFIG.beyond_ks, kinds)
    results = evaluate(Table(), batches, protocol, beyond=beyond)
    means, rows = results.compute(), results.per_user()
    assert results.compute() == means  # gathering leaves every process its own part
    means |= fairness(batches, kinds)
    if rank == 0:
        rows.write_parquet(folder / "users.parquet")
        (folder / "means.json").write_text(json.dumps(means))


def fairness(batches, kinds) -> dict[str, float | list[float]]:
    """The gap between users of even and odd numbers, and the exposure of four kinds of items."""
    gap = MetricGap(NDCG(5), torch.arange(40) % 2, fewest=1)
    shares = GroupExposure(5, kinds, kinds.categories, 4)
    for batch in batches:
        lists = Table().recommend(batch.history, 5, None)
        gap.update(
            batch.history.users_B, *hits_of(lists.items_BK, batch.target_rows, batch.target_items)
        )
        shares.update(batch, lists)
    with warnings.catch_warnings():  # a process that has nobody
        warnings.filterwarnings("ignore", "The ``compute`` method")
        return {"gap": gap.compute().item(), "shares": shares.compute().tolist()}


def in_process(rank: int, folder: Path, world: int, cases: list[tuple[int, bool]]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    for number, padded in cases:
        judge(folder / f"{number}", number, rank, world, padded)
    distributed.destroy_process_group()


@pytest.fixture(scope="module", autouse=True)
def _server():
    """Processes start with everything imported, from a single server."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])


@pytest.mark.parametrize(
    ("world", "cases"),
    [(2, [(17, False), (1, False)]), (3, [(17, False), (16, True), (2, False)])],
)
def test_equal_on_any_number_of_processes(tmp_path, world, cases):
    """Uneven numbers of users, users met twice, and a process that has nobody."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    for number, _ in cases:
        for folder in (alone, together):
            (folder / f"{number}").mkdir(parents=True)
        judge(alone / f"{number}", number, 0, 1, padded=False)
    arguments = (together, world, cases)
    multiprocessing.start_processes(in_process, arguments, nprocs=world, start_method="forkserver")
    for number, _ in cases:
        for name in ("users.parquet", "means.json"):
            expected = (alone / f"{number}" / name).read_bytes()
            assert (together / f"{number}" / name).read_bytes() == expected
        means = json.loads((alone / f"{number}" / "means.json").read_text())
        assert len(means) == len(accuracy_names(CONFIG.metrics, CONFIG.ks)) + len(BEYOND) + 2
        assert sum(means["shares"]) == pytest.approx(1)
        assert (means["gap"] > 0) == (number > 1)  # NaN where all are of one group
