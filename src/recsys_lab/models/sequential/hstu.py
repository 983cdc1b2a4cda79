"""HSTU: attention with pointwise SiLU instead of softmax (Zhai et al., ICML 2024).

Shapes: B users, T concatenated events of all users, L sequence length, D width, H heads, V items,
N supervised positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.contracts import Batch, TrainingData
from recsys_lab.models.sequential.dot_product import DotProductModel, check_heads
from recsys_lab.models.sequential.layers import PaddedLayout, next_item_targets
from recsys_lab.models.sequential.rectangle import layout_of

_TIME_BUCKETS = 128
_LOG_BASE = 0.301  # a bucket is e**0.301 = 1.35 times as long as the previous one, as published


class HSTU(DotProductModel):
    """Hierarchical sequential transduction units over item embeddings, which also score the items.

    Paper: https://arxiv.org/abs/2402.17152, equations 1-3. The published code biases attention of
    event i (query) to event j by the time from j to the event **after** i, which is the target:
    ``time_bias: target``. It does so in evaluation as well: ``movielens_seq_features_from_row``
    writes the target's timestamp after the history
    (https://github.com/facebookresearch/generative-recommenders). A deployed model does not know
    when the next event will happen, so this variant leaks; its numbers are not comparable with
    those of other models, and its runs are marked. If the next time is not known, the last event's
    time is used, which such a model rarely saw in training. ``time_bias: past`` uses the time from
    j to i instead. `tests/models/sequential/test_hstu.py` shows the leak. Published scores are
    cosines: ``loss.cosine=true loss.temperature=0.05``.

    Args:
        config: the options.
        num_items: catalogue size V.

    Attributes:
        reads_next_time: whether `Batch.next_times_B` is read.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `HSTU`.

        Attributes:
            hidden_dim: width D, a multiple of num_heads.
            num_layers: number of units.
            num_heads: attention heads.
            max_length: most recent events that are read.
            time_bias: "none"; "past", from the time between two events; or "target", from the time
                between an event and the predicted one, which leaks the latter's time.
            dropout: dropout rate of the embeddings and of each unit's gated output.
            attention_dropout: dropout rate of the attention weights.
            init_std: standard deviation of the normal initialisation; the output layers of the
                units have Glorot initialisation.
        """

        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        time_bias: Literal["none", "past", "target"]
        dropout: Annotated[float, Ge(0), Lt(1)]
        attention_dropout: Annotated[float, Ge(0), Lt(1)]
        init_std: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        check_heads(config.hidden_dim, config.num_heads)
        self.config = config
        self.window = config.max_length
        self.reads_next_time = config.time_bias == "target"
        self.items = nn.Embedding(num_items, config.hidden_dim)
        self.positions = nn.Embedding(config.max_length, config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Unit(config) for _ in range(config.num_layers))
        self.init_weights(config.init_std)
        for module in self.modules():
            if isinstance(module, _Unit):
                nn.init.xavier_uniform_(module.out.weight)

    @property
    def reads_times(self) -> bool:
        """Whether histories need timestamps."""
        return self.config.time_bias != "none" or super().reads_times

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States that predict the next item, (N, D), and the targets, (N,).

        Each history must have 2 to ``max_length + 1`` events.

        Raises:
            UserError: ``time_bias`` is set, and the data have no timestamps.
        """
        inputs, targets_N = next_item_targets(batch)
        if self.reads_next_time and batch.timestamps_T is not None:
            inputs = replace(inputs, next_times_B=batch.timestamps_T[batch.last_B])
        return self._states(inputs), targets_N

    def query_states(self, batch: Batch) -> Tensor:
        """The state after the last event of each history, (B, D)."""
        return self._states(batch)[batch.last_B]

    def check_data(self, data: Batch | TrainingData) -> None:
        """Check that the data have timestamps if ``time_bias`` needs them.

        Raises:
            UserError: they have none.
        """
        times = data.timestamps_T if isinstance(data, Batch) else data.timestamps
        if self.config.time_bias != "none" and times is None:
            raise UserError(
                f"model.time_bias: got {self.config.time_bias}, but the data have no timestamps; "
                "use none, or name their column: data.timestamp_column"
            )

    def _states(self, batch: Batch) -> Tensor:
        layout = layout_of(batch)
        asking_T = self._asking_times(batch)
        x_TD = self.embed(batch) * self.config.hidden_dim**0.5
        x_TD = self.dropout(x_TD + self.positions(layout.position_T))
        bucket_BLL = None
        if asking_T is not None and batch.timestamps_T is not None:
            bucket_BLL = _time_buckets(asking_T, batch.timestamps_T, layout)
        for block in self.blocks:
            x_TD = block(x_TD, bucket_BLL, layout)
        return x_TD  # type: ignore[no-any-return]

    def _asking_times(self, batch: Batch) -> Tensor | None:
        """The query time of each event, int64 (T,); None without time bias."""
        if self.config.time_bias == "none":
            return None
        self.check_data(batch)
        times_T = batch.timestamps_T
        if times_T is None or self.config.time_bias == "past":
            return times_T
        last_B = batch.last_B
        following_T = times_T.roll(-1)
        known_B = batch.next_times_B
        following_T[last_B] = times_T[last_B] if known_B is None else known_B
        return following_T


def _time_buckets(asking_T: Tensor, times_T: Tensor, layout: PaddedLayout) -> Tensor:
    """Log bucket of the seconds between each query time and each event, (B, L, L)."""
    asking_BL1 = layout.pad(asking_T.unsqueeze(1))
    times_B1L = layout.pad(times_T.unsqueeze(1)).transpose(1, 2)
    seconds_BLL = (asking_BL1 - times_B1L).abs().clamp(min=1)
    return (seconds_BLL.double().log() / _LOG_BASE).long().clamp(max=_TIME_BUCKETS)


class _Unit(nn.Module):
    """One transduction unit: projection, attention and gate."""

    def __init__(self, config: HSTU.Config) -> None:
        super().__init__()
        dim, self.num_heads, self.scale = config.hidden_dim, config.num_heads, config.max_length
        self.norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.project = nn.Linear(dim, 4 * dim, bias=False)  # gate, value, query, key
        self.distance_bias = nn.Parameter(torch.empty(config.max_length))
        timed = config.time_bias != "none"
        self.time_bias = nn.Parameter(torch.empty(_TIME_BUCKETS + 1)) if timed else None
        self.attention_dropout = nn.Dropout(config.attention_dropout)
        self.gated_norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(dim, dim)
        for bias in (self.distance_bias, self.time_bias):
            if bias is not None:
                nn.init.normal_(bias, std=config.init_std)

    def forward(self, x_TD: Tensor, bucket_BLL: Tensor | None, layout: PaddedLayout) -> Tensor:
        """(T, D) -> (T, D)."""
        mixed_TD = F.silu(self.project(self.norm(x_TD)))
        gate_TD, rest_TD = mixed_TD.tensor_split([x_TD.shape[1]], dim=1)
        parts = layout.pad(rest_TD).unflatten(2, (3, self.num_heads, -1))
        value, query, key = (part.transpose(1, 2) for part in parts.unbind(2))
        width = layout.shape[1]
        positions_L = torch.arange(width, device=x_TD.device)
        apart_LL = positions_L.unsqueeze(1) - positions_L
        scores = query @ key.transpose(2, 3) + self.distance_bias[apart_LL.clamp(min=0)]
        if bucket_BLL is not None and self.time_bias is not None:
            scores = scores + self.time_bias[bucket_BLL].unsqueeze(1)
        # Padding follows the events and has value 0, so a causal mask is enough.
        weights = (F.silu(scores) / self.scale).masked_fill(apart_LL < 0, 0.0)
        read_BLD = (self.attention_dropout(weights) @ value).transpose(1, 2).flatten(2)
        read_TD = self.gated_norm(layout.unpad(read_BLD))
        return x_TD + self.out(self.dropout(gate_TD * read_TD))  # type: ignore[no-any-return]
