"""Seconds of an epoch and of an evaluation, beside a plain hand-written PyTorch loop.

    python scripts/benchmark_training.py --data ../shared/data/ml-1m/interactions.parquet

Both train the same SASRec (hidden 64, 2 blocks, 2 heads, last 50 events, batch 128, dropout .1,
full softmax, Adam) on the same users in one process, in turn. The lab runs with everything on:
Lightning, progress line, tracker, checkpoints. The plain loop pads to a rectangle, calls
`F.cross_entropy` on the logits of the real positions, and ranks with a matrix product and topk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.config import config_dir
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.experiment.components import Components
from recsys_lab.experiment.restore import restore
from recsys_lab.training.fit import fit

DIM, LAYERS, HEADS, LENGTH, BATCH, DROPOUT = 64, 2, 2, 50, 128, 0.1


class PlainBlock(nn.Module):
    """A pre-norm transformer block as one writes it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.up, self.down = nn.Linear(DIM, 4 * DIM), nn.Linear(4 * DIM, DIM)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v = self.qkv(self.norm1(x_BLD)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BLD = x_BLD + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        x_BLD = x_BLD + self.drop(self.down(F.gelu(self.up(self.norm2(x_BLD)))))
        return x_BLD


class PlainSASRec(nn.Module):
    """Embedding, blocks, norm; padding at the end."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.items, self.places = nn.Embedding(num_items, DIM), nn.Embedding(LENGTH, DIM)
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(LAYERS)))
        self.norm, self.drop = nn.LayerNorm(DIM), nn.Dropout(DROPOUT)

    def forward(self, items_BL: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        places_L = torch.arange(items_BL.shape[1])
        states_BLD: Tensor = self.norm(
            self.blocks(self.drop(self.items(items_BL) + self.places(places_L)))
        )
        return states_BLD


class Plain:
    """The plain loop over histories padded once, before the clock starts."""

    def __init__(self, parts: Components) -> None:
        data = parts.data
        self.train_UL, self.train_length_U = pad(data, "train", 1, 2, LENGTH + 1)
        self.test_UL, self.test_length_U = pad(data, "test", 1, 2, LENGTH)
        test = np.asarray(data.segments("test"))
        self.seen = [torch.from_numpy(data.items[s:e].astype(np.int64)) for _, s, e, _ in test]
        self.model = PlainSASRec(data.num_items)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3, betas=(0.9, 0.98))

    def epoch(self) -> None:
        """One pass over the users."""
        self.model.train()
        for rows_B in torch.randperm(len(self.train_UL)).split(BATCH):
            items_BL, length_B = self.train_UL[rows_B], self.train_length_U[rows_B]
            real_BL = torch.arange(LENGTH) < (length_B - 1).unsqueeze(1)
            states_ND = self.model(items_BL[:, :-1])[real_BL]
            logits_NV = states_ND @ self.model.items.weight.T
            loss = F.cross_entropy(logits_NV, items_BL[:, 1:][real_BL])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self) -> None:
        """Rank the catalogue for every test user, seen items left out."""
        self.model.eval()
        for rows_B in torch.arange(len(self.test_UL)).split(256):
            states_BLD = self.model(self.test_UL[rows_B])
            last_B = self.test_length_U[rows_B] - 1
            scores_BV = states_BLD[torch.arange(len(rows_B)), last_B] @ self.model.items.weight.T
            seen = [self.seen[row] for row in rows_B.tolist()]
            lengths = torch.tensor([len(items) for items in seen])
            row_S = torch.repeat_interleave(torch.arange(len(seen)), lengths)
            scores_BV[row_S, torch.cat(seen)] = -torch.inf
            scores_BV.topk(20, dim=1)


def pad(data: Any, phase: str, start: int, end: int, width: int) -> tuple[Tensor, Tensor]:
    """The last ``width`` events of each user of a phase, padded with item 0 at the end."""
    segments = np.asarray(data.segments(phase))
    padded_UL = np.zeros((len(segments), width), dtype=np.int64)
    lengths_U = np.minimum(segments[:, end] - segments[:, start], width)
    for row, (stop, length) in enumerate(zip(segments[:, end], lengths_U, strict=True)):
        padded_UL[row, :length] = data.items[stop - length : stop]
    return torch.from_numpy(padded_UL), torch.from_numpy(lengths_U)


class EpochClock(pl.Callback):
    """Seconds of each epoch with checkpoint and logging, without its validation."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = self._validating = self._out = 0.0

    def _close(self) -> None:
        if self._begun:
            self.seconds.append(time.perf_counter() - self._begun - self._out)
        self._begun, self._out = time.perf_counter(), 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch begins; the one before ends with its checkpoint written."""
        self._close()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last one ends."""
        self._close()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Validation is timed on its own."""
        self._validating = time.perf_counter()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the validation out."""
        self._out += time.perf_counter() - self._validating


def lab_epochs(parts: Components, folder: Path, console: Console) -> list[float]:
    """Seconds of each epoch of a real training run."""
    clock = EpochClock()
    batches = TrainingBatches(parts.data, batch_size=BATCH, window=LENGTH + 1, seed=0)
    fit(
        parts.model, parts.loss, parts.recipe, parts.protocol, batches,
        parts.batches("validation"), folder / "checkpoints",
        loggers=[], console=console, on_epoch=lambda _: None, callbacks=[clock],
    )  # fmt: skip
    return clock.seconds


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return seconds


def config_of(path: str, epochs: int, prepared: str) -> DictConfig:
    """The benchmark's setting as a config of the lab."""
    overrides = [
        "experiment=ml_1m_leave_one_out/sasrec", f"data.path={path}", f"prepared_dir={prepared}",
        f"model.hidden_dim={DIM}", f"model.num_layers={LAYERS}", f"model.num_heads={HEADS}",
        f"model.max_length={LENGTH}", f"model.dropout={DROPOUT}", f"recipe.batch_size={BATCH}",
        f"recipe.max_epochs={epochs}", "recipe.patience=null", "run_dir=unused",
    ]  # fmt: skip
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg])


def main() -> None:
    """Measure both in turn and print the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="MovieLens-1M as Parquet with positions")
    parser.add_argument("--epochs", type=int, default=3, help="each round; the first warms up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console()
    seconds: dict[str, list[float]] = {k: [] for k in ("lab", "plain", "lab rank", "plain rank")}
    with tempfile.TemporaryDirectory() as scratch:
        cfg = config_of(options.data, options.epochs, f"{scratch}/prepared")
        parts = Components(cfg, restore)
        parts.attach(parts.prepare())
        plain = Plain(parts)
        for number in range(options.rounds):
            seconds["plain"] += timed(plain.epoch, options.epochs)[1:]
            seconds["lab"] += lab_epochs(parts, Path(scratch) / str(number), console)[1:]
            seconds["plain rank"] += timed(plain.evaluate, 4)[1:]
            seconds["lab rank"] += timed(lambda: parts.evaluate("test").compute(), 4)[1:]
    median = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table(title="medians, seconds", title_justify="left")
    for heading in ("", "lab", "plain", "lab / plain"):
        table.add_column(heading, justify="right" if heading else "left")
    for label, mine, other in (("epoch", "lab", "plain"), ("rank", "lab rank", "plain rank")):
        ratio = median[mine] / median[other]
        table.add_row(label, f"{median[mine]:.2f}", f"{median[other]:.2f}", f"{ratio:.2f}")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"seconds": seconds, "median": median}, indent=2) + "\n")


if __name__ == "__main__":
    main()
