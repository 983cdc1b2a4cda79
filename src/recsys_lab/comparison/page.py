"""The report of a comparison: one HTML page, readable offline and on paper."""

from __future__ import annotations

from recsys_lab.comparison import cells as tables
from recsys_lab.comparison import charts
from recsys_lab.comparison.examples import SHOWN, Examples, short, verdict_of
from recsys_lab.comparison.results import Comparison, System
from recsys_lab.comparison.slices import gain_map, mean_map, system_heads
from recsys_lab.pages.charts.bars import compact
from recsys_lab.pages.charts.xy import badge, legend
from recsys_lab.pages.markup import render
from recsys_lab.pages.number_format import decimal
from recsys_lab.pages.table import Table
from recsys_lab.runs.find import flatten

_SEEN = {"True": "excluded", "False": "may be recommended"}


def html(comparison: Comparison, examples: Examples) -> str:
    """The HTML page."""
    metric, systems = comparison.metric, comparison.systems
    best = systems[comparison.ranks(metric).index(1)]
    popularity = charts.popularity(comparison)
    shown = popularity.systems if popularity else ()
    curves = charts.curves(comparison)
    return render(
        "comparison/page.html",
        title=tables.marked(comparison, tables.heading(comparison)),
        verdict=_verdict(comparison, best),
        tiles=[
            (f"best {metric.name}", decimal(best.scores[metric.name].mean)),
            ("systems", str(len(systems))),
            ("runs", str(len(comparison.runs))),
            ("test users", f"{metric.users:,}" if metric.users else "not the same"),
        ],
        compared=_compared(comparison),
        systems=_systems(comparison),
        bars=[
            (f"test {metric.name} with 95% intervals", chart)
            for metric in charts.shown_metrics(comparison)
            if (chart := charts.bars(comparison, metric)) is not None
        ],
        scores=tables.score_table(
            comparison, system_heads(comparison, with_runs=True), "Every metric that all runs have."
        ),
        legend=tables.legend(comparison),
        pairs=_pairs(comparison),
        pair_legend=tables.PAIR_LEGEND,
        notes=comparison.notes,
        means=mean_map(comparison),
        gains=gain_map(comparison),
        curves=curves,
        curve_caption=f"val/{comparison.main_metric} after every epoch",
        curve_legend=legend({i: systems[i].name for i in (curves.systems if curves else ())}),
        costs=charts.costs(comparison),
        cost_table=_costs(comparison),
        popularity=popularity,
        not_measured=", ".join(s.name for i, s in enumerate(systems) if i not in shown),
        examples=examples,
        systems_of=systems,
        badge=badge,
        verdict_of=verdict_of,
        short=short,
        shown=SHOWN,
        shared=_settings(comparison, own=False),
        own=_settings(comparison, own=True),
        runs=_runs(comparison),
        left_out=comparison.left_out,
        protocol=[
            (key, tables.setting(value) or "null")
            for key, value in flatten(dict(comparison.protocol)).items()
        ],
    )


def _verdict(comparison: Comparison, best: System) -> str:
    """The best system and its difference from the baseline."""
    metric = comparison.metric
    text = f"{'Highest' if metric.higher_is_better else 'Lowest'} mean {metric.name}: {best.name}."
    if comparison.baseline is None:
        return text
    pair = comparison.pair(metric.name, best.name, comparison.baseline)
    if pair is None:
        return f"{text} It is the baseline." if best.name == comparison.baseline else text
    cells = tables.pair_cells(pair)
    share = f" ({cells.relative})" if cells.relative else ""
    return (
        f"{text} Against {comparison.baseline}: {cells.difference}{share}, 95% interval "
        f"{cells.interval}, p {cells.p_holm} after Holm's correction, win/tie/loss {cells.users} "
        "users."
    )


def _compared(comparison: Comparison) -> list[tuple[str, str]]:
    data, protocol = comparison.runs[0].data, comparison.protocol
    counts = [("num_users", "users"), ("num_items", "items"), ("num_interactions", "interactions")]
    sizes = [f"{data[key]:,} {name}" for key, name in counts if data.get(key) is not None]
    split = (protocol.get("split") or {}).items()
    settings = [str(v) if k == "name" else f"{k} {tables.setting(v)}" for k, v in split]
    facts = [
        ("data", ", ".join([str(data["name"]), *sizes])),
        ("split", ", ".join(settings)),
        ("candidates", tables.setting(protocol.get("candidates"))),
        ("already-seen items", _SEEN.get(str(protocol.get("exclude_seen")), "")),
        ("selected and ranked by", comparison.main_metric),
        ("baseline", comparison.baseline or "none: all pairs are tested"),
    ]
    return [(name, value) for name, value in facts if value]


def _systems(comparison: Comparison) -> Table:
    rows = []
    for head, system in zip(system_heads(comparison), comparison.systems, strict=True):
        epochs = [len(comparison.runs[run].epochs) for run in system.runs]
        trained = f"{min(epochs)} to {max(epochs)}" if len({*epochs}) > 1 else str(epochs[0])
        seeds = ", ".join(map(str, system.seeds))
        parameters = _count(comparison.runs[system.runs[0]].parameters)
        rows.append([head, seeds, trained if max(epochs) else "fitted", parameters])
    alike = "" if comparison.by == "config" else f" and have the same {comparison.by}"
    caption = f"Runs that differ only in the seed{alike} are one system."
    return Table(caption, ("system", "seeds", "epochs", "parameters"), rows, right=(2, 3))


def _pairs(comparison: Comparison) -> Table:
    rows = [
        [f"{pair.first} - {pair.second}", *tables.pair_cells(pair)]
        for pair in comparison.pairs
        if pair.metric == comparison.main_metric
    ]
    caption = f"{comparison.main_metric}, the same users in both systems."
    return Table(caption, ("pair", *tables.PAIR_HEADS), rows, right=range(1, 10))


def _costs(comparison: Comparison) -> Table:
    flops = charts.of_systems(comparison, lambda run: run.compute.get("training_flops"))
    rows = []
    for index, system in enumerate(comparison.systems):
        runs = [comparison.runs[number] for number in system.runs]
        seconds = sum(run.seconds for run in runs) / len(runs)
        memory = max(run.peak_memory_mebibytes for run in runs)
        counted = compact(flops[index]) if index in flops else "not recorded"
        numbers = (f"{seconds:,.1f}", counted, _count(runs[0].parameters), f"{memory:,.0f}")
        rows.append([system_heads(comparison)[index], *numbers])
    caption = (
        "Means over runs, and their largest peak; seconds are of the whole run without data "
        "preparation, on its machine."
    )
    heads = ("system", "seconds", "training FLOPs", "parameters", "peak MiB")
    return Table(caption, heads, rows, right=range(1, 5))


def _count(number: int | None) -> str:
    return "none" if number is None else f"{number:,}"


def _settings(comparison: Comparison, *, own: bool) -> Table:
    """Settings that differ: those that all systems have or, with ``own``, only some."""
    rows = [
        [key, *(tables.setting(value) for value in values)]
        for key, values in comparison.differing.items()
        if tables.only_absent(values) == own
    ]
    caption = "Settings that all systems have, with different values."
    if own:
        caption = "A cell is empty where a system lacks the setting."
    return Table(caption, ("setting", *system_heads(comparison)), rows)


def _runs(comparison: Comparison) -> Table:
    rows = []
    for run in comparison.runs:
        code = (run.commit or "unknown")[:12]
        created = run.created[:16].replace("T", " ")
        rows.append([run.system, str(run.seed), created, code, run.folder])
    return Table("Every run.", ("system", "seed", "started", "code", "folder"), rows, right=(1, 2))
