"""The facts of a run's model card besides its tables, as names with values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from recsys_lab.pages.number_format import counted, decimal, duration, format_value, percent
from recsys_lab.runs.find import flatten
from recsys_lab.runs.model_card.tables import main_metric
from recsys_lab.runs.origin import first_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Values = Mapping[str, Any]

OF_TRAINING = ("inputs", "loss", "recipe")  # unused by a model that is fitted in one pass


@dataclass(frozen=True)
class Facts:
    """Names with their values under a heading."""

    heading: str
    rows: Sequence[tuple[str, str]]


def key_figures(values: Values) -> list[tuple[str, str]]:
    """(name, value) pairs of the most important numbers."""
    metric, rows = main_metric(values), []
    for phase in ("test", "validation"):
        value = (values.get(phase) or {}).get(metric)
        if value is not None:
            rows.append((f"{phase} {metric}", decimal(value)))
            break
    bounds = (values.get("intervals") or {}).get(metric)
    if bounds:
        rows.append(("95% interval", " - ".join(map(decimal, bounds))))
    seconds = (values.get("compute") or {}).get("seconds")
    if seconds:
        rows.append(("time of the whole run", duration(seconds)))
    if values.get("parameters") is not None:
        rows.append(("parameters", f"{values['parameters']:,}"))
    return rows


def model_sentence(values: Values) -> str:
    """One line with model, data, seed and time."""
    config = values.get("config") or {}
    model = _class(config.get("model"))
    data = _data(values).get("name")
    parts = [f"{model} on {data}" if model and data else model or data or ""]
    if values.get("seed") is not None:
        parts.append(f"seed {values['seed']}")
    moment = values.get("finished") or values.get("created")
    if moment:
        parts.append(str(moment)[:16].replace("T", " "))
    return " · ".join(filter(None, parts))


def model_facts(values: Values) -> Iterator[Facts]:
    """The settings of the model and of its training."""
    config = values.get("config") or {}
    for group in ("model", "semantic_ids", "decoding", "inputs", "loss", "recipe"):
        settings = config.get(group)
        if not isinstance(settings, dict) or (group in OF_TRAINING and not values.get("epochs")):
            continue
        rows = [
            (key, format_value(value))
            for key, value in flatten(settings).items()
            if key != "_target_"
        ]
        yield Facts(f"{group}: {_class(settings)}", rows)


def semantic_id_rows(values: Values) -> list[tuple[str, str]]:
    """The codes of the items, of a generative model."""
    noted = values.get("semantic_ids")
    if not noted:
        return []
    return [
        ("codes", f"{noted['name']}, fingerprint {noted['fingerprint']}"),
        ("codes by level", " x ".join(f"{size:,}" for size in noted["num_codes"])),
        ("live codes by level", ", ".join(map(percent, noted["live_codes"]))),
        ("perplexity by level", ", ".join(f"{value:,.1f}" for value in noted["perplexity"])),
        ("items with equal codes, before deduplication", percent(noted["collisions"])),
        ("items that share their codes", percent(noted["items_sharing_codes"])),
        ("most items with the same codes", f"{noted['largest_group']:,}"),
    ]


def data_facts(values: Values) -> Iterator[Facts]:
    """Data, split, filter and protocol."""
    data = {key: value for key, value in _data(values).items() if key != "path"}
    if data:
        yield Facts("Data", _counts(data))
    protocol = values.get("protocol") or {}
    fields = dict(protocol.get("fields") or {})
    for key in ("split", "filter"):
        part = fields.pop(key, None) or {}
        counts = {k: v for k, v in (values.get(key) or {}).items() if k not in part}
        if part or counts:
            yield Facts(key.capitalize(), [*_settings(part), *_counts(counts)])
    fields.pop("data", None)  # the fingerprint of the data is shown above
    if fields:
        fields = {"fingerprint": protocol.get("fingerprint"), **fields}
        fields["learned_from"] = "training and validation" if values.get("refit") else "training"
        fields["test_history"] = "all events before the target, including validation"
        yield Facts("Protocol", _settings(fields))


def compute_rows(values: Values) -> list[tuple[str, str]]:
    """The costs of the run."""
    compute = values.get("compute") or {}
    shown = {
        "seconds": ("time of the whole run", "{:,.1f} s"),
        "prepare_seconds": ("of which data preparation", "{:,.1f} s"),
        "step_seconds": ("in training steps", "{:,.1f} s"),
        "wait_seconds": ("waiting for batches", "{:,.1f} s"),
        "peak_memory_mebibytes": ("peak memory", "{:,.0f} MiB"),
        "device_peak_mebibytes": ("peak memory of the GPU", "{:,.0f} MiB"),
        "events": ("training events read (tokens)", "{:,}"),
        "events_per_second": ("tokens per second", "{:,.0f}"),
        "steps": ("training steps", "{:,}"),
        "training_flops": ("training FLOPs", "{:.3g}"),
        "joules": ("energy", "{:,.0f} J"),
    }
    rows = []
    if values.get("parameters") is not None:
        rows.append(("parameters", f"{values['parameters']:,}"))
    for key, (name, form) in shown.items():
        if compute.get(key):
            rows.append((name, form.format(compute[key])))
    best, epochs = values.get("best") or {}, values.get("epochs") or []
    if best.get("epoch") is not None and epochs:
        rows.append(("best epoch", f"{best['epoch'] + 1} of {len(epochs)}"))
    refit = values.get("refit") or {}
    if "epochs" in refit:
        rows.append(
            ("refit", f"{counted(refit['epochs'], 'epoch')} on training and validation events")
        )
    return rows + _settings(values.get("machine") or {})


def origin_rows(values: Values) -> list[tuple[str, str]]:
    """Everything that is needed to reproduce the run."""
    code = values.get("code") or {}
    rows = [("command", " ".join(map(str, values.get("command") or ())))]
    if code.get("commit"):
        rows.append(("code", code["commit"] + (" with changes" if code.get("dirty") else "")))
    if retrained := values.get("retrain"):
        parent = retrained["parent"]
        rows.append(("retrained from", f"{parent['name']}, {parent['run']}"))
    if source := values.get("init_from"):
        rows.append(("initial weights", f"{first_weights(source)}, {source['run']}"))
    rows += [(key, str(values[key])) for key in ("created", "finished") if values.get(key)]
    config = values.get("config") or {}
    rows += [
        (key, format_value(config[key])) for key in ("group", "tags", "notes") if config.get(key)
    ]
    packages = ", ".join(f"{k} {v}" for k, v in (values.get("packages") or {}).items())
    return [(name, value) for name, value in [*rows, ("packages", packages)] if value]


def _data(values: Values) -> Values:
    """The data of the run; for a back-test only what its windows share."""
    windows = values.get("windows") or [{}]
    shared = {"name": (windows[0].get("data") or {}).get("name")}
    return values.get("data") or {k: v for k, v in shared.items() if v is not None}


def _class(settings: Any) -> str:
    name = settings.get("_target_", "") if isinstance(settings, dict) else ""
    return str(name).rpartition(".")[2]


def _settings(values: Values) -> list[tuple[str, str]]:
    return [
        (key, format_value(value)) for key, value in flatten(values).items() if value is not None
    ]


def _counts(values: Values) -> list[tuple[str, str]]:
    """As `_settings`, with thousands separators and times as dates."""
    return [
        (key, _count(key, value)) for key, value in flatten(values).items() if value is not None
    ]


def _count(key: str, value: Any) -> str:
    if type(value) is not int:
        return format_value(value)
    if key.endswith("_time"):  # seconds since the epoch
        return datetime.fromtimestamp(value, UTC).isoformat(sep=" ").removesuffix("+00:00")
    return f"{value:,}"
