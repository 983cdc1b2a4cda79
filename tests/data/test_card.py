from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab import pages
from recsys_lab.data.card.charts import concentration_chart, time_chart
from recsys_lab.data.card.page import write_card
from recsys_lab.data.leaks.check import KINDS_BY_TIME
from recsys_lab.pages.charts.bars import Bar, Labels, bar_chart, compact, nice_ticks
from recsys_lab.pages.charts.xy import COLOURS
from recsys_lab.pages.markup import tag
from recsys_lab.pages.number_format import duration, number, percent
from tests.data.preparation.manifests import ABOUT, FINGERPRINT, WARNING, manifest

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = """<script>alert("x")</script>&'"""

PACKAGE = Path(pages.__file__).parents[1]


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where an end tag is not its start tag's."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words, self.css = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, name, attributes):
        assert len({key for key, _ in attributes}) == len(attributes), (name, attributes)
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open, f"</{name}> without a start"
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.css += data
        else:
            self.words.append(data)

    def named(self, name):
        return [attributes for found, attributes in self.elements if found == name]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def card(tmp_path):
    def made(**changes):
        write_card(manifest(**changes), tmp_path / "card.html")
        return Page((tmp_path / "card.html").read_text(encoding="utf-8"))

    return made


def test_it_holds_every_number_of_the_manifest(card):
    page = card()
    given_ = manifest()
    for text in (
        *("541,909", "406,829", "135,080", "missing customer", "406,817"),
        *("Shop of Examples", "shop_of_examples", "duckdb", "2026-01-02 03:04:05+00:00"),
        *(ABOUT["licence"], ABOUT["citation"], ABOUT["homepage"], *ABOUT["notes"]),
        *(FINGERPRINT, "4711", "log.csv", "customer", "usecols", '["buy", "cart"]'),
        *("price", "missing 12,345", "device", "values 17", "text"),
        *("1970-01-01T00:00:00Z", "1970-04-01T00:00:00Z", "1970-01-01 to 1970-04-01 (90 days)"),
        "leave_one_out",
    ):
        assert text in page.text, text
    found = given_["statistics"]
    assert f"Gini coefficient of items {found['item_popularity']['gini']:.3f}" in page.text
    assert "distinct user-item pairs 9" in page.text  # of 12 events, 3 are repeats
    assert "density (share of all pairs) 60.0%" in page.text  # 9 of 3 * 5
    assert "sparsity 40.0%" in page.text
    assert "events whose user had the item before 25.0%" in page.text
    assert "events that repeat the one just before 8.33%" in page.text
    assert "test 3 3 25.0% 3 3" in page.text  # users, events, of all, targets, median history
    assert page.text.index("Warnings The source was read") < page.text.index(WARNING)
    assert given_["leaks"]
    for leak in given_["leaks"]:
        count, rest = leak["explanation"].split("%)")
        assert f"{count}%)" in page.text
        alike = {one["severity"] for one in given_["leaks"] if one["explanation"].endswith(rest)}
        assert page.text.count(f"%){rest}") == len(alike)  # once for both phases
        assert leak["kind"] in page.text


def test_findings_stand_by_weight(card):
    text = card().text
    places = [text.find(f"{word} {kind} in") for word, kind in
              (("property", "future_in_training"), ("note", "users_in_two_roles"))]  # fmt: skip
    assert -1 < places[0] < places[1]


def test_charts_say_in_words_what_they_show(card):
    page = card()
    charts = page.named("svg")
    assert len(charts) == 4
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= set(ids)
    assert "From 3 to 5 events; half of the users have at most 4" in page.text
    assert "3 events: 1 user" in page.text  # the tip of a bar
    assert "4 to 5 events: 2 users" in page.text
    assert {"3", "4", "6"} <= set(page.words)  # the edges, the last as well
    assert "events per user (logarithmic)" in page.text
    assert len(page.named("caption")) == len(page.named("table")) == 4
    assert len(page.named("h1")) == 1
    assert page.named("html")[0]["lang"] == "en"
    assert all("scope" in head for head in page.named("th"))


def test_no_class_is_without_a_rule_and_no_rule_without_use(card):
    page = card()
    used = {name for _, attributes in page.elements for name in attributes.get("class", "").split()}
    rules = set(re.findall(r"\.([a-z]+[\w-]*)", re.sub(r"\{[^}]*\}", " ", page.css)))
    assert used <= rules
    # The sheet is that of all pages: what this card lacks, another page's code names.
    files = [path for kind in ("*.py", "*.html") for path in PACKAGE.rglob(kind)]
    code = "\n".join(path.read_text() for path in files)
    assert not [name for name in rules - used if not re.search(rf'"[^"]*\b{name}\b[^"]*"', code)]
    variables = set(re.findall(r"var\((--\w+)[,)]", page.css))
    defined = set(re.findall(r"(--\w+):", page.css))
    assert variables <= defined
    assert defined - variables == {f"--c{number}" for number in range(COLOURS)}


def test_it_loads_nothing_and_runs_nothing(card, tmp_path):
    page = card()
    raw = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert not {name for name, _ in page.elements} & {
        "script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image",
    }  # fmt: skip
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset")]
        assert "href" not in attributes or name == "a"
    assert "url(" not in page.css
    assert "@import" not in page.css
    assert re.findall(r'(?:href|src)="(http[^"]*)"', raw) == [ABOUT["homepage"]]
    [policy] = [meta for meta in page.named("meta") if "http-equiv" in meta]
    assert policy["content"].startswith("default-src 'none'")


def test_what_a_dataset_says_is_text_never_markup(card, tmp_path):
    about = {**dict.fromkeys(ABOUT, EVIL), "notes": [EVIL]}
    counts = [{"step": EVIL, "rows": 1, "users": 1, "items": 1, "dropped": 0, "reason": EVIL}]
    page = card(
        name=EVIL,
        about=about,
        counts=counts,
        tie_rule=EVIL,
        features={"items": {EVIL: {"type": EVIL, EVIL: EVIL}}},
        source={"reader": EVIL, "config": {EVIL: EVIL}, "key": {"rows": EVIL}},
    )
    assert "script" not in {name for name, _ in page.elements}
    assert "<script" not in (tmp_path / "card.html").read_text(encoding="utf-8")
    assert page.text.count(EVIL) >= 15


@pytest.mark.parametrize("place", ["javascript:alert(1)", "ftp://example.org", "", "on request"])
def test_only_web_addresses_become_links(card, place):
    page = card(about={**ABOUT, "homepage": place})
    assert not page.named("a")
    assert place in page.text


def test_without_warnings_there_is_no_section_of_them(card):
    assert "Warnings" not in card(warnings=[]).text


def test_without_times_leaks_about_and_features(card):
    page = card(timed=False, about=None, leaks=[], features={})
    assert "The log has no timestamps" in page.text
    assert "No findings." in page.text
    assert f"{', '.join(KINDS_BY_TIME)} cannot be checked" in page.text
    assert "states no licence and no citation" in page.text
    assert "None besides ids and times." in page.text
    assert "time span no timestamps" in page.text or "no timestamps" in page.text
    assert len(page.named("svg")) == 3


def test_a_time_in_the_counts_of_a_split_is_a_date(card):
    split = {**manifest()["split"], "test_start_time": 86_400 * 365}
    assert "test start 1971-01-01 00:00:00" in card(split=split).text


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30))
def test_any_text_comes_back(text):
    page = Page(tag("p", text, class_=text))
    assert "".join(page.words) == text
    assert page.elements == [("p", {"class": text})]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=120), st.integers(0, 12))
def test_bars_stay_inside_and_are_as_high_as_their_values(values, digits):
    bars = [Bar(value, "1" * digits, f"{value}") for value in values]
    page = Page(bar_chart(bars, Labels("k", "t", "d", "x", "y"), width=460))
    drawn = [{k: float(v) for k, v in box.items() if k != "class"} for box in page.named("rect")]
    assert len(drawn) == len(values)
    for box in drawn:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 460
        assert box["width"] > 0
        assert box["y"] >= 26 - 0.1
        assert box["y"] + box["height"] == pytest.approx(198, abs=0.2)
    top = max(values)
    tall = max(box["height"] for box in drawn)
    for box, value in zip(drawn, values, strict=True):
        if top:
            assert box["height"] == pytest.approx(tall * value / top, abs=0.2)
    centres = [float(t["x"]) for t in page.named("text") if t.get("text-anchor") == "middle"][:-1]
    room = 6 * digits
    assert all(b - a >= room for a, b in pairwise(centres))


@given(st.floats(0, 1e12))
def test_ticks_are_few_round_and_reach_the_top(highest):
    ticks = nice_ticks(highest)
    assert 2 <= len(ticks) <= 5
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    step = ticks[1]
    assert ticks == [step * place for place in range(len(ticks))]
    assert f"{step}".rstrip("0") in {"1", "2", "5"}
    assert highest <= 1 or ticks[-2] < highest


def test_marks_on_a_curve_do_not_cover_each_other():
    found = {
        "top_1_percent_share": 0.97,
        "top_10_percent_share": 0.99,
        "gini": 0.98,
        "curve": [[0, 0], [0.01, 0.97], [0.1, 0.99], [1, 1]],
        "histogram": {"edges": [1, 2], "counts": [200]},
    }
    page = Page(concentration_chart(found))
    notes = [float(text["y"]) for text in page.named("text") if text.get("class") == "note"]
    assert len(notes) == 2
    assert abs(notes[0] - notes[1]) >= 13.9
    assert min(notes) > 10
    assert "top 1%: 97.0%" in page.text
    assert "The top 1% of the items have 97.0% of the events, the top 10% 99.0%." in page.text


@pytest.mark.parametrize(
    ("unit", "start", "tick"),
    [
        ("day", "2011-03-04", "2011-03-04"),
        ("month", "2011-03-01", "2011-03"),
        ("year", "2011-01-01", "2011"),
        ("100 years", "-0100-01-01", "-0100"),
    ],
)
def test_a_bar_of_the_series_is_named_by_its_unit(unit, start, tick):
    words = Page(time_chart({"unit": unit, "starts": [start], "counts": [3]})).words
    assert tick in words
    assert f"{unit} from {start}: 3 events" in words


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (number, None, "-"), (number, 1234567, "1,234,567"), (number, 40.5, "40.5"),
        (number, 4.611, "4.61"), (number, 43.0, "43"), (number, 1234.56, "1,234.6"),
        (percent, 0.0, "0%"), (percent, 1.0, "100%"), (percent, 0.5, "50.0%"),
        (percent, 0.09998, "10.0%"), (percent, 0.000001234, "0.000123%"),
        (percent, 0.99995, "99.9950%"), (percent, 0.0632, "6.32%"),
        (duration, 0, "0 s"), (duration, 59, "59 s"), (duration, 90, "1.5 min"),
        (duration, 3600, "1 h"), (duration, 86_400, "1 day"), (duration, 86_400 * 400, "400 days"),
        (duration, 86_400 * 3652.5, "10 years"),
        (compact, 950, "950"), (compact, 1200, "1.2k"), (compact, 3e7, "30M"), (compact, 2e9, "2G"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(function, value, text):
    assert function(value) == text
