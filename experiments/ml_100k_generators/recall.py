"""How much of the exact top 10 a beam search finds, for finished runs of generative models.

    python experiments/ml_100k_generators/recall.py RUN... [--beams 10 20 50 100 200]

For every test user, both lists are made by the same weights from the same history, without seen
items; recall is the share of the exact ten that are among the search's ten. A table and JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.experiment.restore import restore
from recsys_lab.models.generative.decoding.beam import BeamSearch
from recsys_lab.models.generative.decoding.exact import ExactDecoding
from recsys_lab.runs.find import whole_record

K = 10


@torch.inference_mode()
def recalls(run: Path, beams: list[int]) -> dict[str, float]:
    """Mean recall over the test users of a run, for each number of beams."""
    parts = restore(whole_record(run))
    assert parts.semantic_ids is not None
    searches = [BeamSearch(BeamSearch.Config(num_beams=number)) for number in beams]
    exact = ExactDecoding(ExactDecoding.Config(block_items=1024))
    for decoding in (exact, *searches):
        decoding.read_codes(parts.semantic_ids)
    sums, users = dict.fromkeys(beams, 0.0), 0
    for batch in EvaluationBatches(
        parts.data, "test", batch_size=64, window=parts.model.window, exclude_seen=True
    ):
        excluded = batch.seen_rows, batch.seen_items
        truth_BK = exact.rank(parts.model, batch.history, K, excluded).items_BK
        for number, search in zip(beams, searches, strict=True):
            items_BK = search.rank(parts.model, batch.history, K, excluded).items_BK
            found_BK = (truth_BK.unsqueeze(2) == items_BK.unsqueeze(1)).any(2)
            sums[number] += float(found_BK.float().mean(1).sum())
        users += batch.history.size
    return {str(number): total / users for number, total in sums.items()}


def main() -> None:
    """Print the recalls of the runs given on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--beams", nargs="+", type=int, default=[10, 20, 50, 100, 200])
    args = parser.parse_args()
    results = {run.name: recalls(run, args.beams) for run in args.runs}
    table = Table(
        "run", *(f"{number} beams" for number in args.beams), title="recall of the top 10"
    )
    for name, row in results.items():
        table.add_row(name, *(f"{value:.4f}" for value in row.values()))
    Console().print(table)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
