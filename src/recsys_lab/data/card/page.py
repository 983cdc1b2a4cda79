"""The data card: one HTML page, readable offline and on paper, made of the manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_lab.data.card import facts
from recsys_lab.data.card.charts import concentration_chart, histogram_chart, time_chart
from recsys_lab.data.leaks.check import KINDS_BY_TIME
from recsys_lab.data.leaks.finding import by_weight, in_words
from recsys_lab.pages.markup import Markup, join, tag
from recsys_lab.pages.number_format import number, percent
from recsys_lab.pages.page import fact_list, figure, page, section, table


def write_card(manifest: Mapping[str, Any], file: Path) -> None:
    """Write the page.

    Args:
        manifest: as in ``manifest.json``, with ``statistics`` of `statistics.describe`.
        file: what is written, whole.
    """
    name = facts.title(manifest)
    sections = (
        _counts, _warnings, _people_and_items, _time, _split, _leaks, _features, _about,
        _reproduction,
    )  # fmt: skip
    body = (_head(manifest, name), *(part(manifest) for part in sections))
    file.write_text(page(f"{name}: data card", *body), encoding="utf-8")


def _head(manifest: Mapping[str, Any], name: str) -> Markup:
    said = [manifest["name"]] if manifest["name"] != name else []
    said += [
        f"read by {manifest['source']['reader']}",
        f"prepared with {manifest['engine']} on {manifest['created'].replace('T', ' ')}",
    ]
    tiles = []
    for label, value in facts.key_figures(manifest):
        # A number alone is set large; words after it would not fit so.
        wide = {} if " " not in value else {"class_": "words"}
        tiles.append(tag("div", tag("dt", label), tag("dd", value), **wide))
    return tag(
        "header",
        tag("p", "Data card", class_="kicker"),
        tag("h1", name),
        tag("p", " · ".join(said), class_="lead"),
        tag("dl", *tiles, class_="figures"),
    )


def _counts(manifest: Mapping[str, Any]) -> Markup:
    counts = manifest["counts"]
    read = max(counts[0]["rows"], 1)
    rows = []
    for step in counts:
        share = step["rows"] / read
        bar = tag("span", style=f"width:{100 * share:.1f}%")
        rows.append(
            [
                step["step"],
                *(number(step.get(key)) for key in ("rows", "users", "items", "dropped")),
                join(percent(share), tag("span", bar, class_="track", aria_hidden="true")),
                step.get("reason") or "",
            ]
        )
    heads = ("step", "rows", "users", "items", "dropped", "rows left", "dropped because")
    left = percent(counts[-1]["rows"] / read)
    caption = f"Rows, users and items after each step; {left} of the source's rows are left."
    listed = table(caption, heads, rows, right=range(1, 5))
    settings = facts.settings_rows(manifest["settings"]["filter"])
    return section(
        "From the source to the dataset",
        listed,
        tag("h3", "Filter settings"),
        fact_list(settings, code=True),
    )


def _warnings(manifest: Mapping[str, Any]) -> Markup:
    if not manifest["warnings"]:
        return join()
    found = [tag("li", tag("p", said), class_="note") for said in manifest["warnings"]]
    said = "The source could be read, but this is odd about it."
    return section("Warnings", tag("p", said, class_="lead"), tag("ul", *found, class_="findings"))


def _people_and_items(manifest: Mapping[str, Any]) -> Markup:
    found = manifest["statistics"]
    rows = [
        [name, *(number(found[key][column]) for column in facts.DISTRIBUTION)]
        for name, key in (
            ("events per user", "history_length"),
            ("events per item", "item_popularity"),
        )
    ]
    heads = ("", *facts.DISTRIBUTION.values())
    charts = tag(
        "div",
        figure(
            "How long histories are", histogram_chart("histories", found["history_length"], "user")
        ),
        figure(
            "How popular items are", histogram_chart("popularity", found["item_popularity"], "item")
        ),
        class_="pair",
    )
    shares = tag(
        "div",
        figure("How much the popular items take", concentration_chart(found["item_popularity"])),
        tag(
            "div",
            tag("h3", "Concentration and repetition"),
            fact_list(
                [*facts.concentration_facts(manifest), *facts.pair_facts(manifest)], numbers=True
            ),
        ),
        class_="pair",
    )
    caption = "Events per user (length of a history) and per item (its popularity)."
    return section(
        "Users and items", charts, table(caption, heads, rows, right=range(1, len(heads))), shares
    )


def _time(manifest: Mapping[str, Any]) -> Markup:
    time = manifest["statistics"]["time"]
    if time is None:
        said = "The log has no timestamps: the order of a user's events is that of the source."
        return section("Time", tag("p", said))
    unit = time["events"]["unit"]
    chart = tag(
        "div", figure(f"Events by {unit}", time_chart(time["events"])), class_="wide scroll"
    )
    rule = f"Of a user's events at one time: {manifest['tie_rule']}."
    return section("Time (UTC)", chart, fact_list(facts.time_facts(time)), tag("p", rule))


def _split(manifest: Mapping[str, Any]) -> Markup:
    settings = manifest["settings"]["split"]
    heads = ("phase", "users", "events", "of all events", "targets", "median history")
    caption = (
        "Events are trained on, or are targets; the history is what a target is found by, and in "
        "training what a user is trained on."
    )
    listed = table(caption, heads, facts.split_rows(manifest), right=range(1, 6))
    return section(
        f"Split: {settings['name']}",
        listed,
        tag(
            "div",
            tag("div", tag("h3", "Settings"), fact_list(facts.settings_rows(settings), code=True)),
            tag("div", tag("h3", "Counted"), fact_list(facts.split_counts(manifest), numbers=True)),
            class_="pair",
        ),
    )


def _leaks(manifest: Mapping[str, Any]) -> Markup:
    notes = []
    if manifest["statistics"]["time"] is None:
        kinds = ", ".join(KINDS_BY_TIME)
        notes.append(tag("p", f"Without timestamps, {kinds} cannot be found.", class_="lead"))
    if not manifest["leaks"]:
        return section("Leak check", tag("p", "Nothing was found.", class_="good"), *notes)
    found = [
        tag(
            "li",
            tag(
                "p",
                tag("span", leak["severity"], class_="severity"),
                " ",
                tag("code", leak["kind"]),
                f" in {leak['phase']}",
            ),
            tag("p", in_words(leak)),
            class_=leak["severity"],
        )
        for leak in by_weight(manifest["leaks"])
    ]
    said = (
        "A leak shows the answer before it is to be found; a warning bends the numbers; a property "
        "comes with the split's own rule; a note is good to know."
    )
    return section(
        "Leak check", tag("p", said, class_="lead"), *notes, tag("ul", *found, class_="findings")
    )


def _features(manifest: Mapping[str, Any]) -> Markup:
    rows = facts.feature_rows(manifest)
    if not rows:
        return section("Features", tag("p", "None besides ids and times."))
    heads = ("of", "column", "type", "known of it")
    return section("Features", table("Columns that models may read.", heads, rows))


def _about(manifest: Mapping[str, Any]) -> Markup:
    about = manifest["about"]
    if about is None:
        said = "The source states no licence and no citation."
        return section("Licence and citation", tag("p", said))
    place = about["homepage"]
    link = tag("a", place, href=place, rel="noopener noreferrer")
    rows: list[tuple[str, str]] = [
        ("licence", about["licence"]),
        ("cite", about["citation"]),
        ("homepage", link if place.startswith(("https://", "http://")) else place),
    ]
    notes = [tag("li", note) for note in about["notes"]]
    listed = [tag("h3", "Good to know"), tag("ul", *notes)] if notes else []
    return section("Licence and citation", fact_list(rows), *listed)


def _reproduction(manifest: Mapping[str, Any]) -> Markup:
    source = manifest["source"]
    rows = [
        ("fingerprint", manifest["fingerprint"]),
        ("reader", source["reader"]),
        ("engine", manifest["engine"]),
        ("created", manifest["created"]),
        ("schema version", str(manifest["schema_version"])),
    ]
    return section(
        "Where it comes from",
        tag("p", "Equal fingerprints are equal datasets, split included.", class_="lead"),
        fact_list(rows, code=True),
        tag("h3", "Source settings"),
        fact_list(facts.settings_rows(source["config"]), code=True),
        tag("h3", "Source content"),
        fact_list(facts.settings_rows(source["key"]), code=True),
    )
