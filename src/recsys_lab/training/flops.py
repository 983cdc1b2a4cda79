"""Arithmetic of the kernels that torch's counter does not know.

Without them the counter says nothing and counts them as free.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    mm_flop,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def counter() -> FlopCounterMode:
    """A counter that knows every product of the lab's models and losses; prints nothing."""
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
    """Of cuDNN's recurrent layers: each weight matrix meets every event once.

    Args:
        input_shape: (..., D), events of all sequences in the leading dimensions.
        weight_shapes: of the matrices and bias vectors of all layers and directions.
        args: what else the kernel gets.
        kwargs: likewise.
    """
    del args, kwargs
    events = prod(input_shape[:-1])
    return sum(2 * events * prod(shape) for shape in weight_shapes if len(shape) == 2)


def _recurrent_backward_flops(*shapes: Any, **kwargs: Any) -> int:
    """One product for the inputs' gradient and one for the weights', as large as the forward."""
    return 2 * recurrent_flops(*shapes, **kwargs)


def _added_product(
    sum_shape: Sequence[int], a_shape: Sequence[int], b_shape: Sequence[int], **kwargs: Any
) -> int:
    del sum_shape, kwargs
    return int(mm_flop(a_shape, b_shape))


def _attention(*shapes: Any, **kwargs: Any) -> int:
    """Of query, key and value; as for the kernels of a GPU, a causal mask saves nothing."""
    del kwargs
    return int(sdpa_flop_count(*shapes[:3]))


def _attention_backward(*shapes: Any, **kwargs: Any) -> int:
    """Of the output's gradient, query, key and value."""
    del kwargs
    return int(sdpa_backward_flop_count(*shapes[:4]))
