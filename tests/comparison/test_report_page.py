"""A comparison's page: its numbers are the comparison's, it loads and runs nothing."""

import html as escaping
import re
from dataclasses import replace

import pytest

from recsys_lab.comparison.charts import pareto_front
from recsys_lab.comparison.collect import find_runs
from recsys_lab.comparison.compare import Options, compare
from recsys_lab.comparison.examples import SHOWN, Example, Examples
from recsys_lab.comparison.page import html
from recsys_lab.pages.charts.heat_map import HeatRow, heat_table
from recsys_lab.pages.charts.xy import Axis, Series, xy_chart
from tests.comparison.made_runs import config, results, two_systems, write_run

HOSTILE = "<script>alert('x')</script> & \"co\""


def compared(folder, **options):
    records, left_out = find_runs([str(folder)])
    wanted = {"baseline": "first", "metric": None, **options}
    return compare(records, left_out, Options(**wanted, level=0.05, resamples=200,
                                              permutations=200, seed=0, by="config"))  # fmt: skip


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return compared(two_systems(tmp_path_factory.mktemp("runs"), users=120, seeds=3))


@pytest.fixture(scope="module")
def page(comparison):
    user = Example(
        user=HOSTILE, history=["Tea", HOSTILE], targets=["Cup"],
        lists=[[("Pot", False), ("Cup", True)], [("Tin", False)] * SHOWN + [("Cup", True)]],
    )  # fmt: skip
    return html(comparison, Examples("Drawn by hand.", [user]))


def rows(page: str, heading: str, level: int = 2) -> list[list[str]]:
    """Texts of the cells of the first table under a heading."""
    part = (
        page.split(f"<h{level}>{heading}</h{level}>")[1]
        .split("</table>")[0]
        .replace("<small>", " ")
    )
    return [
        [escaping.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in
         re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", part)
    ]  # fmt: skip


def test_what_is_compared_comes_first(comparison, page):
    heads, *body = rows(page, "What is compared")
    assert heads == ["system", "seeds", "epochs", "parameters"]
    assert body == [
        ["1 Popularity", "0, 1, 2", "fitted", "none"], ["2 SASRec", "0, 1, 2", "1", "1,000"]
    ]  # fmt: skip
    assert "<dt>data</dt><dd>shop, 120 users</dd>" in page
    assert "<dt>already-seen items</dt><dd>excluded</dd>" in page
    (pair,) = [p for p in comparison.pairs if p.metric == "ndcg@10"]
    best = comparison.systems[1].scores["ndcg@10"]
    lead = page.split("</header>")[0]
    assert "Highest mean ndcg@10: SASRec. Against Popularity:" in lead
    assert f"{pair.test.difference.value:+.4f} ({pair.relative:+.1%})" in lead
    assert f"<dd>{best.mean:.4f}</dd>" in lead


def test_scores_are_the_comparisons(comparison, page):
    heads, *body = rows(page, "Results")
    assert heads == ["metric", "1 Popularity 3 seeds", "2 SASRec 3 seeds"]
    found = {row[0]: row[1:] for row in body}
    for place, (system, mark) in enumerate(zip(comparison.systems, ("", "*"), strict=True)):
        score = system.scores["ndcg@10"]
        assert found["ndcg@10"][place] == (
            f"{score.mean:.4f} ± {score.sd:.4f}{mark} "
            f"{score.interval.low:.4f} - {score.interval.high:.4f}"
        )
    best = comparison.systems[1].scores["ndcg@10"]
    assert f"<b>{best.mean:.4f}</b>" in page.split("ndcg@10</th>")[1].split("</tr>")[0]


def test_bars_are_as_long_as_the_means(comparison, page):
    chart = page.split('id="bars-ndcg-10-title"')[1].split("</svg>")[0]
    widths = [float(wide) for wide in re.findall(r'<rect x="0" [^>]*width="([\d.]+)"', chart)]
    low, high = (system.scores["ndcg@10"].mean for system in comparison.systems)
    assert widths[0] / widths[1] == pytest.approx(low / high, abs=0.002)


def test_tests_and_slices_are_the_comparisons(comparison, page):
    (pair,) = [p for p in comparison.pairs if p.metric == "ndcg@10"]
    heads, row = rows(page, "Differences, user by user")
    cells = dict(zip(heads, row, strict=True))
    assert cells["bootstrap interval"] == "{:+.4f} to {:+.4f}".format(*pair.test.bootstrap)
    assert cells["p permuted"] == "<0.0001" or float(cells["p permuted"]) == pytest.approx(
        pair.test.permutation_p, abs=5e-5
    )
    assert row[0] == "SASRec - Popularity"
    assert row[1] == f"{pair.test.difference.value:+.4f}"
    assert row[-1] == f"{pair.wins}/{pair.ties}/{pair.losses}"
    _, *body = rows(page, "Slices")
    assert [row[0] for row in body] == ["1-4", "5-9"]
    for row, part in zip(body, comparison.slices, strict=True):
        assert row[1:] == [
            f"{part.users}", *(f"{m.value:.4f} {m.low:.4f} - {m.high:.4f}" for m in part.means)
        ]  # fmt: skip
    heads, *body = rows(page, "Win, tie and loss by slice", level=3)
    assert heads[2:] == ["2 SASRec - 1 Popularity"]
    for row, part in zip(body, comparison.slices, strict=True):
        (gain,) = part.pairs
        bounds = gain.test.difference
        assert row[2] == (
            f"{gain.wins}/{gain.ties}/{gain.losses} "
            f"{bounds.value:+.4f} [{bounds.low:+.4f}, {bounds.high:+.4f}]"
        )
        assert gain.wins + gain.ties + gain.losses == part.users
    assert page.count('<tr class="group">') == 2
    assert "title=" not in page.split("<h2>Slices</h2>")[1].split("</section>")[0]


def test_the_colour_of_a_heat_table_is_the_ratio_to_the_best():
    row = HeatRow("head", 1200, ["a", "b", "c"], [HOSTILE, "", "low"], [0.1, 0.3, 0.29])
    even = HeatRow("tail", 30, ["d", "e", "f"], ["", "", ""], [0.5, 0.5, 0.5])
    zero = HeatRow("cold", 30, ["g", "h", "i"], ["", "", ""], [0.0, 0.0, 0.0])
    plain = HeatRow("none", 30, ["m", "n", "o"], ["", "", ""])
    table = heat_table("", [""] * 5, [("group", [row, even, zero, plain])])
    # 45% of the accent for the best: 1/3 of it is 15, 0.29/0.3 is 43.5
    assert re.findall(r"(\d+)%, transparent", table) == ["15", "45", "44", "45", "45", "45"]
    assert re.findall(r"<b>(.)</b>", table) == ["b"]
    assert "<small>low</small>" in table
    assert "1,200" in table
    assert HOSTILE not in table
    least = heat_table("", [""], [("", [row])], higher_is_better=False)
    assert re.findall(r"<b>(.)</b>", least) == ["a"]
    assert re.findall(r"(\d+)%, transparent", least) == ["45", "15", "16"]


def test_the_page_runs_and_loads_nothing_and_escapes(page):
    assert "<script" not in page
    assert not re.search(r"(src|href|url)\b\s*[=(]", page)
    assert HOSTILE in escaping.unescape(page)
    assert "default-src 'none'" in page


def test_hits_are_marked_and_later_places_told(page):
    users = page.split("<h2>Example users</h2>")[1]
    assert re.findall(r'<li class="hit">(.*?)</li>', users) == ["Cup"]
    assert re.findall(r"</span> ([\w :,]+)</h3>", users) == [
        "Popularity: rank 2, hit",
        f"SASRec: rank {SHOWN + 1}, miss",
    ]


def test_nothing_is_drawn_of_what_was_not_measured(comparison):
    fitted = replace(comparison, runs=tuple(replace(r, epochs=()) for r in comparison.runs))
    page = html(fitted, Examples("None.", ()))
    assert "Learning curves" not in page
    assert page.count("<svg") == 3  # bars, seconds, popularity


def test_a_line_is_a_run_with_its_own_values(tmp_path):
    for seed, values in enumerate(([0.1, 0.3, 0.2], [0.2, 0.25])):
        epochs = [{"epoch": n, "val/ndcg@10": value} for n, value in enumerate(values)]
        write_run(tmp_path / f"{seed}", {"ndcg@10": results(50, seed)}, epochs=epochs,
                  config=config("SASRec", seed))  # fmt: skip
    page = html(compared(tmp_path), Examples("None.", ()))
    chart = page.split('id="curves-title"')[1].split("</svg>")[0]
    lines = [[tuple(map(float, point.split(","))) for point in line.split()]
             for line in re.findall(r'points="([^"]+)"', chart)]  # fmt: skip
    assert [len(line) for line in lines] == [3, 2]
    (first, top, middle), (low, _) = lines
    assert first[0] == low[0]  # epoch 0
    assert top[1] < middle[1] < first[1]  # a higher value stands higher
    assert low[1] == middle[1]  # both 0.2
    assert "Each line is a run (2 in all); the best value is 0.3000." in page


def test_compute_counts_flops_where_they_were(tmp_path):
    for place, flops in enumerate((None, 5e12, 2e12)):
        spent = {"seconds": 10.0 * (place + 1), "peak_memory_mebibytes": 300.0,
                 "training_flops": flops}  # fmt: skip
        write_run(tmp_path / f"{place}", {"ndcg@10": results(80, place, lift=place)}, compute=spent,
                  config=config("SASRec", 0, model__hidden_dim=8 * (place + 1)))  # fmt: skip
    page = html(compared(tmp_path), Examples("None.", ()))
    _, *body = rows(page, "Quality against compute")
    assert [row[1:3] for row in body] == [
        ["10.0", "not recorded"], ["20.0", "5T"], ["30.0", "2T"]
    ]  # fmt: skip
    chart = page.split('id="cost-FLOPs-title"')[1].split("</svg>")[0]
    assert chart.count("<circle") == 2
    assert "Quality against popularity" not in page


def test_popularity_is_drawn_of_those_that_measured_it(tmp_path):
    for place, extra in enumerate(({}, {"popularity@10": 40.0}, {"popularity@10": 7.0})):
        values = {"ndcg@10": results(60, place)}
        values |= {name: results(60, 0) * 0 + value for name, value in extra.items()}
        write_run(tmp_path / f"{place}", values,
                  config=config("SASRec", 0, model__hidden_dim=8 * (place + 1)))  # fmt: skip
    page = html(compared(tmp_path), Examples("None.", ()))
    part = page.split("<h2>Popularity bias</h2>")[1].split("</section>")[0]
    assert re.findall(r"<li>(.*?)</li>", part) == [
        "3 SASRec hidden_dim=24, 7.0000", "2 SASRec hidden_dim=16, 40.0000"
    ]  # fmt: skip
    assert "Not measured for: SASRec hidden_dim=8." in part


def test_the_front_is_what_nothing_beats():
    #         cheap+bad, dear+best, dominated, cheap+equal, middle
    spent, reached = [1.0, 9.0, 9.5, 1.0, 4.0], [0.1, 0.9, 0.8, 0.2, 0.5]
    assert pareto_front(spent, reached) == [3, 4, 1]
    assert pareto_front(spent, reached, higher_is_better=False) == [0]


def test_marks_of_one_place_stand_apart():
    series = [Series([(0.5, 0.5, "")], mark=f"{n}", colour=n) for n in range(9)]
    chart = xy_chart(series, Axis("x"), Axis("y"), key="k", title="t", description="d")
    places = re.findall(r'class="note" x="([\d.]+)" y="([\d.]+)"', chart)
    marks = [(float(x), float(y)) for x, y in places]
    assert len(marks) == 9
    for one, (x, y) in enumerate(marks):
        assert all(abs(x - p) > 6.2 or abs(y - q) > 10 for p, q in marks[:one])


def test_nothing_paired_is_no_error(tmp_path):
    for place, users in enumerate((40, 50)):
        write_run(tmp_path / f"{place}", {"ndcg@10": results(users, place)},
                  fields={"data": f"d{place}"},
                  config=config("SASRec", 0, model__hidden_dim=8 * (place + 1)))  # fmt: skip
    page = html(compared(tmp_path), Examples("None.", ()))
    assert "<h1>Not comparable: shop, test" in page
    assert "<h2>Slices</h2>" not in page
    assert "<h2>Differences" not in page
