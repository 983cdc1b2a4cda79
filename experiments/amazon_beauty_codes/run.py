"""What semantic IDs are made from, beside each other under the same generator, on Amazon Beauty.

    python -m experiments.amazon_beauty_codes.run OUTPUT --data FOLDER [--generators rpg ...]

FOLDER has Beauty.txt (a user a line) and Beauty_item2attributes.json (category ids by item), as
S3-Rec published them. Codes of three kinds, for each generator the same number of levels and codes:

- category: the item's category ids as a vector of zeros and ones, its 64 principal components;
- collaborative: the item vectors of a SASRec run of this study, learned from training events only;
- random: codes that say nothing about an item, the control.

Text is absent: these files have no titles, so the codes from text that TIGER publishes are not
among the arms. With a network, `experiment=amazon_beauty_leave_one_out/tiger` makes them.

A finished run is not run again, and one that was stopped goes on, so the same command can be given
until it is done. OUTPUT/records has a short JSON record a run, OUTPUT/comparison the tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
from experiments.study import compare, parser, run_folder, train

COMPONENTS = 64
"""Width of the vectors of categories: as wide as SASRec's."""
QUANTISERS = {"generative_decoder": "residual_kmeans", "rpg": "product_quantisation"}
OF_RANDOM = {
    "generative_decoder": ("levels=3", "codes=256", "deduplicate=1024"),
    "rpg": ("levels=16", "codes=256"),
}
"""Levels and codes of the quantisers' YAML."""
OF_GENERATOR = {"generative_decoder": ("recipe.learning_rate=3e-3",), "rpg": ()}
KINDS = ("category", "collaborative", "random")


def main() -> None:
    """Train what is missing, then compare."""
    arguments = parser(__doc__, epochs=60)
    arguments.add_argument("--data", type=Path, required=True, help="folder of the two files")
    arguments.add_argument("--generators", nargs="+", choices=QUANTISERS, default=list(QUANTISERS))
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    chosen = arguments.parse_args()
    data = f"data.path={chosen.data / 'Beauty.txt'}"
    vectors = category_vectors(chosen.data / "Beauty_item2attributes.json", chosen.output)
    sasrec = [
        train(chosen, "sasrec", seed, ["experiment=amazon_beauty_leave_one_out/sasrec", data])
        for seed in range(chosen.seeds)
    ]
    made = []
    for generator in chosen.generators:
        of_generator = [
            train(
                chosen,
                f"{generator}_{kind}",
                seed,
                [
                    *("data=sequences", data, f"model={generator}"),
                    *OF_GENERATOR[generator],
                    *codes(generator, kind, vectors, run_folder(chosen.output, "sasrec", 0)),
                ],
            )
            for kind in chosen.kinds
            for seed in range(chosen.seeds)
        ]
        first = f"{generator}_{chosen.kinds[-1]}"
        compare(of_generator, first, chosen.output / f"comparison_{generator}")
        made += of_generator
    compare([*sasrec, *made], "sasrec", chosen.output / "comparison")


def codes(generator: str, kind: str, categories: Path, sasrec: Path) -> list[str]:
    """Overrides that name the codes of a kind."""
    if kind == "random":
        options = (f"semantic_ids.{option}" for option in OF_RANDOM[generator])
        return ["semantic_ids=random", *options]
    quantiser = f"semantic_ids={QUANTISERS[generator]}"
    if kind == "collaborative":
        return [quantiser, f"semantic_ids.vectors={sasrec}"]
    width = f"semantic_ids.components={COMPONENTS}"
    return [quantiser, f"semantic_ids.vectors={categories}", width]


def category_vectors(attributes: Path, output: Path) -> Path:
    """Write each item's categories as a vector of length 1; returns the file."""
    of_items: dict[str, list[int]] = json.loads(attributes.read_text())
    columns = {
        name: at for at, name in enumerate(sorted({c for cs in of_items.values() for c in cs}))
    }
    vectors = np.zeros((len(of_items), len(columns)), np.float32)
    for row, names in enumerate(of_items.values()):
        vectors[row, [columns[name] for name in names]] = 1
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    file = output / "category_vectors.parquet"
    if not file.exists():  # the same bytes: codes are found again by the file's digest
        output.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"item_id": list(of_items), "embedding": vectors}).write_parquet(file)
    return file


if __name__ == "__main__":
    main()
