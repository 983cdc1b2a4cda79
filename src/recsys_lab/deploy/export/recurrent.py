"""Recurrent layers as one operator, which ONNX has, instead of a loop unrolled at one length.

Shapes: B users, L events, D width, H recurrent width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, library, nn

NAMESPACE = "recsys_lab"
"""Of the operators of the lab."""


@library.custom_op(f"{NAMESPACE}::gru", mutates_args=())
def gru(x_BLD: Tensor, initial: Tensor, weights: list[Tensor]) -> Tensor:
    """The states of the last of several gated recurrent layers, (B, L, D) -> (B, L, H).

    Args:
        x_BLD: inputs.
        initial: initial states, (layers, B, H).
        weights: four of each layer, in the order of `torch.nn.GRU`.
    """
    layers = len(weights) // 4
    states, _ = torch.gru(x_BLD, initial, weights, True, layers, 0.0, False, False, True)
    return states


@gru.register_fake
def _(x_BLD: Tensor, initial: Tensor, weights: list[Tensor]) -> Tensor:
    del weights
    return x_BLD.new_empty(x_BLD.shape[0], x_BLD.shape[1], initial.shape[2])


class RecurrentLayers(nn.Module):
    """Replaces a batch-first `torch.nn.GRU` with biases, in evaluation.

    Args:
        layers: the layers, whose weights are used.
    """

    def __init__(self, layers: nn.GRU) -> None:
        super().__init__()
        assert layers.batch_first
        assert layers.bias
        assert not layers.bidirectional
        self.num_layers, self.hidden_size = layers.num_layers, layers.hidden_size
        self.weights = nn.ParameterList(
            nn.Parameter(weight.detach(), requires_grad=False)
            for layer in layers.all_weights
            for weight in layer
        )

    def forward(self, x_BLD: Tensor) -> tuple[Tensor, None]:
        """States of all events; the final states are not given."""
        initial = x_BLD.new_zeros(self.num_layers, x_BLD.shape[0], self.hidden_size)
        return gru(x_BLD, initial, list(self.weights)), None


def to_onnx(x_BLD: Any, initial: Any, weights: Any) -> Any:
    """The translation of `gru`."""
    from onnxscript.function_libs.torch_lib.ops.core import aten_gru

    return aten_gru(x_BLD, initial, weights, True, len(weights) // 4, 0.0, False, False, True)[0]
