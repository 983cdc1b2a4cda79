"""FLOP formulas for kernels that torch's counter does not know, and would count as 0."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    mm_flop,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)


def counter() -> FlopCounterMode:
    """A FLOP counter that covers all matrix products of the lab's models and losses."""
    aten = torch.ops.aten
    formulas = {
        aten.addmm_: _added_product,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        aten._cudnn_rnn: recurrent_flops,
        aten._cudnn_rnn_backward: _recurrent_backward_flops,
    }
    return FlopCounterMode(display=False, custom_mapping=formulas)


def recurrent_flops(
    input_shape: Sequence[int], weight_shapes: Sequence[Sequence[int]], *args: Any, **kwargs: Any
) -> int:
    """FLOPs of cuDNN's recurrent layers: each weight matrix is applied once per event.

    Args:
        input_shape: (..., D), events of all sequences in the leading dimensions.
        weight_shapes: shapes of the matrices and bias vectors of all layers and directions.
        args: other arguments of the kernel.
        kwargs: likewise.
    """
    del args, kwargs
    events = prod(input_shape[:-1])
    return sum(2 * events * prod(shape) for shape in weight_shapes if len(shape) == 2)


def _recurrent_backward_flops(*shapes: Any, **kwargs: Any) -> int:
    """Two products as large as the forward pass: gradients of the inputs and of the weights."""
    return 2 * recurrent_flops(*shapes, **kwargs)


def _added_product(
    sum_shape: Sequence[int], a_shape: Sequence[int], b_shape: Sequence[int], **kwargs: Any
) -> int:
    del sum_shape, kwargs
    return int(mm_flop(a_shape, b_shape))


def _attention(*shapes: Any, **kwargs: Any) -> int:
    """From query, key and value; as for GPU kernels, a causal mask does not reduce the count."""
    del kwargs
    return int(sdpa_flop_count(*shapes[:3]))


def _attention_backward(*shapes: Any, **kwargs: Any) -> int:
    """From the output's gradient, query, key and value."""
    del kwargs
    return int(sdpa_backward_flop_count(*shapes[:4]))
