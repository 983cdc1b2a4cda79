"""Generators beside SASRec on the synthetic shop, and what they find of items that are new.

    python -m experiments.synthetic_shop_cold_items.run OUTPUT [--models tiger ...] [--splits ...]

Two protocols over the same log, each with its own comparison, full ranking, seen items left out:

- leave_one_out: the last event of every user is the target, where SASRec sees almost all items;
- global_temporal: the last tenth of the log is the test, all its events are targets, so that some
  are items that arrived after training. Metrics of these are the slice target_popularity=cold.

Codes are residual k-means of the item columns, made once for a protocol, shared by all generators.
A finished run is not run again, and one that was stopped goes on, so the same command can be given
until it is done. OUTPUT/records has a short JSON record a run, OUTPUT/comparison_SPLIT the tests.
"""

from __future__ import annotations

from pathlib import Path

from experiments.study import compare, parser, print_slice, train

MODELS = {
    "sasrec": (),
    "generative_decoder": ("recipe.learning_rate=3e-3",),
    "tiger": ("recipe=tiger",),
    "liger": ("recipe=tiger",),
}
"""Models, and what their recipes differ in."""
SPLITS = {
    "leave_one_out": (),
    "global_temporal": ("split=global_temporal", "split.target=all"),
}


def main() -> None:
    """Train what is missing, then compare."""
    arguments = parser(__doc__, epochs=20)
    arguments.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    arguments.add_argument("--users", type=int, default=5000)
    arguments.add_argument("--items", type=int, default=1500)
    chosen = arguments.parse_args()
    shop = (f"data.num_users={chosen.users}", f"data.num_items={chosen.items}")
    found: dict[str, list[Path]] = {}
    for split in chosen.splits:
        found[split] = [
            train(
                chosen,
                f"{model}_{split}",
                seed,
                [f"model={model}", *MODELS[model], *SPLITS[split], *shop],
            )
            for model in chosen.models
            for seed in range(chosen.seeds)
        ]
    for split, runs in found.items():
        first = f"{chosen.models[0]}_{split}"
        compare(runs, first, chosen.output / f"comparison_{split}")
        print_slice(runs, "target_popularity", ("head", "middle", "tail", "cold"), "hr@10")
        print_slice(runs, "target_popularity", ("head", "middle", "tail", "cold"), "ndcg@10")


if __name__ == "__main__":
    main()
