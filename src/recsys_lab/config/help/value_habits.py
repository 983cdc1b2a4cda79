"""Values that other frameworks use, and what they are called here: losses, models, metrics, ...

The same frameworks as in `recsys_lab.config.help.habits`, whose names are those of the keys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from recsys_lab.config.errors import did_you_mean

METRICS = "evaluation.metrics"

_CROSS_ENTROPY = ("ce", "cross_entropy", "crossentropy", "crossentropyloss", "full_softmax")
_BINARY = ("bceloss", "bcewithlogitsloss", "binary_cross_entropy", "bcesampled")
_SAMPLED = ("cesampled", "sampled_softmax_loss", "ssm", "infonce")
_SMOKE_TESTS = ("default", "fdr", "limit", "profiler")
_POPULAR = ("pop", "mostpop", "poprec", "popularmodel", "toppopular")
_ALTERNATING = ("als", "alswrap", "implicitals", "implicitalswrappermodel")
_ONE_OUT = ("ls", "loo", "valid_and_test")
_CANDIDATES = ("uni", "uni100", "uni1000", "pop", "pop100", "pop1000", "sampled")

VALUES: Mapping[str, Mapping[str, str]] = {
    "loss": {
        **dict.fromkeys(_CROSS_ENTROPY, "softmax"),
        **dict.fromkeys(_BINARY, "bce"),
        **dict.fromkeys(_SAMPLED, "sampled_softmax"),
        "scalablecrossentropy": "sce",
        "bprloss": "bpr",
    },
    "debug": dict.fromkeys(_SMOKE_TESTS, "fast"),
    "model": {
        **dict.fromkeys(_POPULAR, "popularity"),
        **dict.fromkeys(_ALTERNATING, "ials"),
        "svd": "pure_svd",
        "randomrec": "random",
    },
    "data": dict.fromkeys(("csv", "parquet", "file", "custom"), "table"),
    "split": {
        **dict.fromkeys(_ONE_OUT, "leave_one_out"),
        **dict.fromkeys(("rs", "ratio", "ratiosplitter"), "user_ratio"),
        **dict.fromkeys(("temporal", "timesplitter", "timerangesplitter"), "global_temporal"),
        "lastnsplitter": "last_n",
    },
    "evaluation": {**dict.fromkeys(_CANDIDATES, "sampled_candidates"), "full": "full_ranking"},
    "tracking": {**dict.fromkeys(("wb", "w&b"), "wandb"), "tb": "tensorboard"},
    "recipe.optimizer": dict.fromkeys(("adamw_torch", "adamw_torch_fused"), "adamw"),
    "recipe.schedule": {
        "constant_with_warmup": "constant",
        "linearlr": "linear",
        "cosineannealinglr": "cosine",
    },
    "recipe.precision": {
        **dict.fromkeys(("16", "fp16", "float16"), "16-mixed"),
        **dict.fromkeys(("bf16", "bfloat16"), "bf16-mixed"),
        **dict.fromkeys(("fp32", "32_true", "float32"), "32"),
    },
    "recipe.accelerator": {"cuda": "gpu"},
    METRICS: {
        **dict.fromkeys(("hit", "hits", "hitrate", "hit_rate"), "hr"),
        "meanaverageprecision": "map",
    },
}
"""Group or option of the lab -> value elsewhere, in lower case with _ for - -> the lab's value."""


def value_here(key: str, value: str, allowed: Collection[str]) -> str | None:
    """What a value of another framework is called here; None if it is none.

    Args:
        key: a group or an option of the lab.
        value: as it was typed.
        allowed: the values that this config allows.
    """
    here = VALUES.get(key, {}).get(value.lower().replace("-", "_"))
    return here if here in allowed else None


def value_hint(key: str, value: str, allowed: Sequence[str]) -> str:
    """``; here it is 'softmax'.`` for a value of another framework, else `did_you_mean`.

    Args:
        key: a group or an option of the lab.
        value: as it was typed, which is not allowed.
        allowed: the allowed values.
    """
    here = value_here(key, value, allowed)
    return f"; here it is {here!r}." if here else did_you_mean(value, allowed)


def metric_here(typed: str, prefix: str, computed: Sequence[str]) -> str | None:
    """The lab's name of a metric that is written as elsewhere; None if it is not computed.

    Args:
        typed: for example ``NDCG@10``, ``Hit@10`` or ``valid_ndcg@10``.
        prefix: of the lab's name, e.g. ``val/``.
        computed: the names that a config computes, with the prefix.
    """
    name, at, k = typed.lower().partition("@")
    for start in (prefix, "valid_", "valid/", "val_", "eval_"):
        name = name.removeprefix(start)
    found = f"{prefix}{VALUES[METRICS].get(name, name)}{at}{k}"
    return found if found in computed else None
