"""The reader of the synthetic log: its form, its options, and its truth once prepared."""

import math
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from recsys_lab.config import UserError
from recsys_lab.contracts import Batch
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.sources.synthetic.process import DAY, SHOP_OPENS, ShopProcess
from recsys_lab.data.sources.synthetic.synthetic_shop import SyntheticShop
from recsys_lab.data.sources.synthetic.truth import load_truth
from tests.support.shop import SMALL, make

CONFIG_FILE = Path(__file__).parents[3] / "configs/data/synthetic_shop.yaml"


def test_nothing_is_sold_before_it_arrives_and_late_items_are_sold():
    process, items, times, _ = make(SMALL)
    assert (process.arrivals[items] <= times).all()
    late = process.arrivals > SHOP_OPENS
    assert 10 < late.sum() < 30
    assert late[items].any()
    starts = np.searchsorted(process.categories, np.arange(4))
    assert (process.arrivals[starts] == SHOP_OPENS).all()


def test_log_looks_like_a_log():
    raw = SyntheticShop(SMALL).read_raw(Path())
    log = raw.interactions
    assert log.schema == {"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": pl.Int64}
    assert log["timestamp"].is_sorted()
    per_user = log.group_by("user_id", maintain_order=True).agg(
        pl.len(), pl.col("timestamp").diff().min()
    )
    assert per_user["timestamp"].min() > 0  # strictly ascending: no ties, no duplicate rows
    assert sorted(per_user["user_id"].to_list()) == list(range(1, 301))
    assert per_user["len"].min() == 5
    assert per_user["len"].mean() == pytest.approx(12, rel=0.15)
    assert raw.items.columns == ["item_id", "title", "category", "price"]
    assert raw.items["title"].n_unique() == 40
    assert raw.items["price"].min() > 0
    assert set(log["item_id"]) <= set(raw.items["item_id"])
    assert not raw.dropped


def test_more_categories_than_names():
    raw = SyntheticShop(replace(SMALL, num_items=60, num_categories=50)).read_raw(Path())
    assert raw.items["category"].n_unique() == 50
    assert raw.items["title"].n_unique() == 60


def test_same_config_same_bytes_other_seed_other_log():
    readers = [SyntheticShop(SMALL), SyntheticShop(SMALL), SyntheticShop(replace(SMALL, seed=8))]
    first, again, other = [reader.read_raw(Path()) for reader in readers]
    assert first.interactions.equals(again.interactions)
    assert first.items.equals(again.items)
    assert first.truth_path.read_bytes() == again.truth_path.read_bytes()
    assert not first.interactions.equals(other.interactions)
    assert readers[0].source_key() == readers[1].source_key() != readers[2].source_key()


def test_more_users_keep_the_same_shop():
    few, many = [SyntheticShop(replace(SMALL, num_users=n)).read_raw(Path()) for n in (50, 60)]
    assert few.items.equals(many.items)


CHANGES = {
    "num_users": 301,
    "num_items": 41,
    "num_categories": 5,
    "mean_length": 13.0,
    "min_length": 6,
    "days": 400,
    "initial_share": 0.9,
    "zipf_exponent": 0.2,
    "repeat_probability": 0.2,
    "repeat_window": 2,
    "repeat_decay": 0.1,
    "complement_probability": 0.2,
    "num_complements": 5,
    "complement_decay": 0.1,
    "previous_share": 0.9,
    "taste_gain": 0.0,
    "taste_decay": 0.1,
    "season_strength": 0.0,
    "seed": 3,
}


@pytest.mark.parametrize("option", [field.name for field in fields(SyntheticShop.Config)])
def test_every_option_changes_the_log(option):
    changed = replace(SMALL, **{option: CHANGES[option]})
    readers = SyntheticShop(SMALL), SyntheticShop(changed)
    log, other = (reader.read_raw(Path()).interactions for reader in readers)
    assert not log.equals(other)
    assert SyntheticShop(changed).source_key() != SyntheticShop(SMALL).source_key()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_categories": 41},
            "data.num_categories: got 41, but each category needs an item; choose at most "
            "data.num_items (40)",
        ),
        (
            {"min_length": 13},
            "data.mean_length: got 12.0, which is below data.min_length (13); raise the mean or "
            "lower the minimum",
        ),
        (
            {"repeat_probability": 0.6},
            "data.repeat_probability + data.complement_probability: got 0.6 + 0.5 = 1.1; their "
            "sum may be at most 1, and the rest is bought by taste",
        ),
    ],
)
def test_contradicting_options_are_refused(changes, message):
    with pytest.raises(UserError) as error:
        SyntheticShop(replace(SMALL, **changes))
    assert str(error.value) == message


def test_config_file_names_every_option():
    options = yaml.safe_load(CONFIG_FILE.read_text())
    assert (
        options.pop("_target_") == "recsys_lab.data.sources.synthetic.synthetic_shop.SyntheticShop"
    )
    assert list(options) == [field.name for field in fields(SyntheticShop.Config)]
    log = SyntheticShop(SyntheticShop.Config(**options)).read_raw(Path()).interactions
    assert 100_000 < len(log) < 150_000


def test_truth_speaks_of_prepared_items():
    reader = SyntheticShop(SMALL)
    raw = reader.read_raw(Path())
    process = ShopProcess.load(raw.truth_path)
    numbers = np.random.default_rng(3).permutation(40)[:25]  # 15 items were never bought
    truth = load_truth(raw.truth_path, len(raw.interactions), process.item_ids[numbers])
    times = SHOP_OPENS + np.array([0, 10, 5, 30 * DAY, 90 * DAY])
    batch = Batch(
        users_B=torch.arange(2),
        items_T=torch.tensor([3, 0, 24, 7, 7]),
        offsets=torch.tensor([0, 2, 5]),
        lengths=(2, 3),
        timestamps_T=torch.from_numpy(times),
    )
    result = truth.next_item_probabilities(batch)
    assert result.dtype == torch.float32
    expected = process.next_item_probabilities(
        numbers[[3, 0, 24, 7, 7]], np.array([0, 2, 5]), times[[1, 4]]
    )[:, numbers]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)
    assert (result.sum(1) < 1).all()
    with pytest.raises(UserError, match="need the timestamps of synthetic_shop"):
        truth.next_item_probabilities(replace(batch, timestamps_T=None))


def test_filtered_data_have_no_known_truth():
    reader = SyntheticShop(SMALL)
    raw = reader.read_raw(Path())
    made = len(raw.interactions)
    with pytest.raises(UserError) as error:
        load_truth(raw.truth_path, made - 1000, np.empty(0, dtype=np.int64))
    message = str(error.value)
    assert f"has {made - 1000:,} of the {made:,} events of synthetic_shop" in message
    assert "prepare without filtering (filter=default)" in message


def test_through_the_pipeline(run):
    """Prepared and batched, the true probabilities still predict the test targets."""
    config = replace(SMALL, num_users=5000, num_items=60)
    data = run(SyntheticShop(config))
    excess = []
    for batch in EvaluationBatches(data, "test", batch_size=700, window=None, exclude_seen=False):
        p_BV = data.truth().next_item_probabilities(batch.history)
        hit_B = p_BV[batch.target_rows, batch.target_items]
        excess.append((hit_B - (p_BV**2).sum(1)).numpy())
    excess_B = np.concatenate(excess)
    assert len(excess_B) == 5000
    assert abs(excess_B.mean()) < 4 * excess_B.std() / math.sqrt(5000)

    filtered = run(SyntheticShop(config), min_user_count=8)
    with pytest.raises(UserError, match=r"prepare without filtering \(filter=default\)"):
        filtered.truth()


def test_truth_file_goes_with_its_reader():
    reader = SyntheticShop(SMALL)
    path = reader.read_raw(Path()).truth_path
    assert path.exists()
    del reader
    assert not path.parent.exists()


def test_reader_does_not_import_torch():
    code = (
        "import sys, recsys_lab.data.sources.synthetic.synthetic_shop; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
