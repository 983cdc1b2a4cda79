"""Small finished runs on one log, for the tests of the Python face."""

import pytest

from tests.cli.flow import SMALL, in_shop, train

MODELS = {
    "sasrec": [],
    "timed": ["model=hstu", "model.time_bias=past", "~model.feedforward_dim"],
    "known": [
        "split=global_temporal", "evaluation.candidates=known", "loss.cosine=true",
        "loss.temperature=0.1",
    ],
}  # fmt: skip
FITTED = {
    "popularity": ["model=popularity"],
    "knn": [  # several lists a user
        "model=item_knn", "split=last_n", "split.target=successive", "split.validation_events=2",
        "split.test_events=2",
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Folder of finished runs, each named as in `MODELS` and `FITTED`."""
    folder = tmp_path_factory.mktemp("face")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        for name, overrides in MODELS.items():
            given = [text for text in overrides if not text.startswith("~")]
            base = [t for t in SMALL if "~" + t.partition("=")[0] not in overrides]
            assert train(*given, f"run_dir={name}", "recipe.max_epochs=1", base=base) == 0
        for name, overrides in FITTED.items():
            base = ["data=table", "data.path=log.csv"]
            assert train(*overrides, f"run_dir={name}", base=base) == 0
    return folder
