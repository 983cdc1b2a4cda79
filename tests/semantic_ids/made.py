"""Vectors and quantisers for the tests."""

import numpy as np

from recsys_lab.config import config_dir
from recsys_lab.config.targets import import_class
from recsys_lab.semantic_ids.base import Items

NO_VECTORS = {
    "vectors": "features",
    "features": None,
    "text": "title",
    "encoder": None,
    "cache_dir": "unused",
    "standardise": False,
    "components": None,
}
SMALL = {"seed": 0, "deduplicate": None, "levels": 3, "codes": 8}
RQ_VAE = {
    **SMALL,
    "hidden_dims": [32],
    "latent_dim": 16,
    "codebook": "ema",
    "ema_decay": 0.9,
    "commitment_weight": 0.25,
    "align_with": None,
    "align_weight": 0.02,
    "epochs": 12,
    "batch_size": 256,
    "learning_rate": 3e-3,
}


def quantiser(name, **options):
    """A quantiser by the name of its config, whose target alone is read."""
    text = (config_dir() / "semantic_ids" / f"{name}.yaml").read_text()
    cls = import_class(text.split()[1], "semantic_ids")
    return cls(cls.Config(**{**NO_VECTORS, **options}))


def items(vectors_VE, is_known_V=None, aligned_VF=None):
    """Items with these vectors, all with training events unless said otherwise."""
    if is_known_V is None:
        is_known_V = np.ones(len(vectors_VE), dtype=bool)
    return Items(None, is_known_V, vectors_VE.astype(np.float32), aligned_VF)


def planted_tree(num_items=800, branches=8, width=24, seed=0):
    """Vectors that are the sum of a centre, one of its children and one of its grandchildren.

    Returns:
        The place of each item on the three levels, (V, 3), and the vectors.
    """
    rng = np.random.default_rng(seed)
    size = (branches, branches, branches)
    levels = [rng.normal(size=(*size[: n + 1], width)) * s for n, s in enumerate((4, 1.5, 0.5))]
    at = rng.integers(0, branches, size=(num_items, 3))
    a, b, c = at.T
    vectors = levels[0][a] + levels[1][a, b] + levels[2][a, b, c]
    return at, (vectors + rng.normal(size=vectors.shape) * 0.05).astype(np.float32)
