"""RQ-VAE: an autoencoder with residual codes (Lee et al., CVPR 2022; TIGER: Rajput et al., 2023).

Shapes: V items, N items with training events, n items of a batch, E width, D width of the latent
vectors, L levels, C codes of a level, F width of aligned vectors.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.pages.terminal import PROGRESS
from recsys_lab.semantic_ids.base import Codes, Items, VectorQuantiser
from recsys_lab.semantic_ids.residual_kmeans import tell_fewer
from recsys_lab.semantic_ids.rq_vae_network import MovingCodebooks, Quantised, RqVaeNetwork

_log = logging.getLogger(__name__)
_REVIVE_EVERY = 10
"""Epochs between two searches for dead codes, fewer in a short training; the last is at its end."""


class RqVae(VectorQuantiser):
    """Encodes the vectors, and quantises the encoding level by level.

    The vectors are centred and divided by their standard deviation over all dimensions. The loss is
    the mean squared error of the decoded vectors, plus the commitment of the encodings to their
    codes, plus, of "gradient" codebooks, the error of the code vectors. Codes that no item has are
    set to encodings that are far from their code. A level gets fewer codes if there are fewer
    distinct vectors to tell apart.
    """

    @dataclass(frozen=True)
    class Config(VectorQuantiser.Config):
        """Options of `RqVae`.

        Attributes:
            levels: L, without the one that tells duplicates apart.
            codes: C, the same for all levels.
            hidden_dims: widths of the encoder's hidden layers; the decoder has them in reverse.
            latent_dim: D.
            codebook: how code vectors are learned: "gradient", or "ema": moving means of the
                encodings that choose them.
            ema_decay: decay of these means for each step; not used by "gradient".
            commitment_weight: weight of the commitment loss.
            align_with: collaborative vectors that the quantised vectors are aligned with, by a
                contrastive loss over a batch: a finished run or a Parquet file, as in `vectors`;
                null: none (LETTER: Wang et al., CIKM 2024, equation 4, with a linear layer to their
                width).
            align_weight: weight of that loss.
            epochs: number of passes over the items with training events.
            batch_size: items of a step.
            learning_rate: of AdamW.
        """

        levels: Annotated[int, Ge(1)]
        codes: Annotated[int, Ge(2)]
        hidden_dims: list[Annotated[int, Ge(1)]]
        latent_dim: Annotated[int, Ge(1)]
        codebook: Literal["gradient", "ema"]
        ema_decay: Annotated[float, Gt(0), Lt(1)]
        commitment_weight: Annotated[float, Ge(0)]
        align_with: str | None
        align_weight: Annotated[float, Gt(0), Le(1000)]
        epochs: Annotated[int, Ge(1)]
        batch_size: Annotated[int, Ge(2)]
        learning_rate: Annotated[float, Gt(0)]

    config: Config

    @property
    def align_with(self) -> str | None:
        """See `Config.align_with`."""
        return self.config.align_with

    def quantise(self, items: Items) -> Codes:
        """The codes of all items."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        is_known_V = torch.from_numpy(items.is_known_V)
        x_VE = torch.from_numpy(items.vectors)
        x_VE = x_VE - x_VE[is_known_V].mean(0)
        x_VE = (x_VE / x_VE[is_known_V].pow(2).mean().sqrt()).to(device)
        x_NE = x_VE[is_known_V.to(device)]
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(self.config.seed)
            config = self.config
            network = RqVaeNetwork(x_VE.shape[1], config.hidden_dims, config.latent_dim)
            alignment = None
            if items.aligned_VF is not None:
                aligned_NF = torch.from_numpy(items.aligned_VF[items.is_known_V]).to(device)
                alignment = Alignment(aligned_NF, config.latent_dim)
            notes = self._train(network, x_NE, alignment)
        with torch.no_grad():
            codes_VL = torch.cat([network.quantise(x).codes_NL for x in x_VE.split(1 << 14)])
            decoded_NE = network.decoder(network.quantise(x_NE).latent_ND)
            notes["unexplained_variance"] = float((decoded_NE - x_NE).pow(2).mean())
        num_codes = [len(book) for book in network.codebooks]
        tell_fewer(num_codes, self.config.codes)
        return Codes(codes_VL.cpu().numpy(), tuple(num_codes), notes)

    def _train(
        self, network: RqVaeNetwork, x_NE: Tensor, alignment: Alignment | None
    ) -> dict[str, object]:
        """Train from the k-means start; returns the losses of ten epochs and the codes revived."""
        config = self.config
        generator = torch.Generator("cpu").manual_seed(config.seed)
        network.start(x_NE, config.levels, config.codes, generator)
        moving = None
        if config.codebook == "ema":
            moving = MovingCodebooks(list(network.codebooks), config.ema_decay)
            network.codebooks.requires_grad_(False)
        parameters = [p for p in network.parameters() if p.requires_grad]
        parameters += [] if alignment is None else list(alignment.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate)
        shown = {round(epoch) for epoch in np.linspace(0, config.epochs - 1, 10)}
        losses, revived = [], 0
        every = max(1, min(_REVIVE_EVERY, config.epochs // 10))
        many = config.epochs * len(x_NE) > 1 << 20
        epochs = track(range(config.epochs), "training the RQ-VAE", disable=not many)
        for epoch in epochs:
            order_N = torch.randperm(len(x_NE), generator=generator, device="cpu")
            total = torch.zeros(())
            for rows_n in order_N.to(x_NE.device).split(config.batch_size):
                found = network.quantise(x_NE[rows_n])
                loss = self.loss(found, network.decoder(found.latent_ND), x_NE[rows_n])
                if alignment is not None:
                    loss = loss + config.align_weight * alignment(found.latent_ND, rows_n)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if moving is not None:
                    moving.update(found)
                total += loss.detach() * len(rows_n) / len(x_NE)
            if epoch in shown:
                losses.append(float(total))
                if many:
                    line = "RQ-VAE: epoch %d of %d: loss %.4f"
                    PROGRESS.info(line, epoch + 1, config.epochs, losses[-1])
            if epoch % every == 0 or epoch == config.epochs - 1:
                revived += _revive(network, moving, x_NE)
        return {"loss_of_ten_epochs": losses, "codes_revived": revived}

    def loss(self, found: Quantised, decoded_nE: Tensor, x_nE: Tensor) -> Tensor:
        """The loss without alignment, a scalar."""
        config = self.config
        commitment = (found.left_NLD - found.chosen_NLD.detach()).pow(2).sum(1).mean()
        loss = F.mse_loss(decoded_nE, x_nE) + config.commitment_weight * commitment
        if config.codebook == "gradient":
            loss = loss + (found.left_NLD.detach() - found.chosen_NLD).pow(2).sum(1).mean()
        return loss


def _revive(network: RqVaeNetwork, moving: MovingCodebooks | None, x_NE: Tensor) -> int:
    """Revive the dead codes of all levels; returns their number."""
    revived = 0
    # One level after the other; to revive a code may take the last item of another.
    for _ in range(4 * len(network.codebooks)):
        dead = network.revive(x_NE)
        if not dead:
            break
        revived += sum(map(len, dead.values()))
        if moving is not None:
            moving.restart(dead)
    return revived


class Alignment(nn.Module):
    """Contrastive loss that makes the quantised vector of an item predict its collaborative one.

    Args:
        aligned_NF: collaborative vectors; NaN in rows of items that have none, which are left out.
        latent_dim: D.
    """

    def __init__(self, aligned_NF: Tensor, latent_dim: int) -> None:
        super().__init__()
        self._has_one_N = aligned_NF.isfinite().all(1)
        self._aligned_NF = F.normalize(aligned_NF.nan_to_num(), dim=1)
        self.layer = nn.Linear(latent_dim, aligned_NF.shape[1])

    def forward(self, latent_nD: Tensor, rows_n: Tensor) -> Tensor:
        """The mean over the items of a batch; the others of the batch are the negatives."""
        kept = self._has_one_N[rows_n]
        logits_nn = self.layer(latent_nD[kept]) @ self._aligned_NF[rows_n[kept]].T
        targets_n = torch.arange(len(logits_nn), device=logits_nn.device)
        if not len(targets_n):
            return latent_nD.new_zeros(())
        return F.cross_entropy(logits_nn, targets_n)
