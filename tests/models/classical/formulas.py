"""Parts of reference models, written as the papers' formulas by loops over events."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def shake(model: nn.Module) -> nn.Module:
    """Weights far from zero and norms far from one, so that each counts; in double precision."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """(x - mean) / std, scaled and moved."""
    spread = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return (x - x.mean(-1, keepdim=True)) / spread * layer.weight + layer.bias


def gelu(x: Tensor) -> Tensor:
    """x times the normal distribution's share below x."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def causal_attention(layer: Any, x_LD: Tensor) -> Tensor:
    """Vaswani et al., 2017, section 3.2, event by event and head by head."""
    (length, dim), heads = x_LD.shape, layer.num_heads
    q, k, v = F.linear(x_LD, layer.qkv.weight, layer.qkv.bias).split(dim, dim=1)
    read = torch.zeros_like(x_LD)
    for head in range(heads):
        part = slice(head * dim // heads, (head + 1) * dim // heads)
        for i in range(length):
            scores = torch.stack([q[i, part] @ k[j, part] for j in range(i + 1)])
            share = (scores / math.sqrt(dim // heads)).softmax(0)
            read[i, part] = sum(share[j] * v[j, part] for j in range(i + 1))
    return F.linear(read, layer.out.weight, layer.out.bias)
