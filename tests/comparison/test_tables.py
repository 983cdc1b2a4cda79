"""Tests of what a comparison looks like: terminal, Markdown, LaTeX, CSV, JSON."""

import csv
import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from recsys_lab.comparison import cells as tables
from recsys_lab.comparison.cells import p_text, signed
from recsys_lab.comparison.export import csv_text, json_text, latex, markdown, write_exports
from recsys_lab.comparison.terminal import print_comparison
from tests.comparison.made_runs import config, results, two_systems, write_run
from tests.comparison.test_compare import judged


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = two_systems(tmp_path_factory.mktemp("tables"))
    odd = {"ndcg@10": results(400, 9), "popularity@10": results(400, 9)}
    named = config("SASRec", model__hidden_dim=32, model__note="50% & <b>_|$")
    halves = {"history_length": np.where(np.arange(400) < 100, "1-4", "5-9")}
    write_run(folder / "the_odd_one", odd, config=named, frame=halves)
    return judged(folder)


def printed(comparison, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_comparison(console, comparison)
    return console.file.getvalue()


def test_terminal_has_numbers_marks_and_notes(found):
    text = printed(found)
    best = found.systems[1].scores["ndcg@10"]
    assert f"{best.mean:.4f} ± {best.sd:.4f}*" in text
    assert "popularity@10 ↓" in text
    assert "* differs from Popularity at the 0.05 level" in " ".join(text.split())
    assert "history_length" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_terminal_says_who_wins_in_each_slice_with_many_systems(found):
    assert len(found.systems) == 3
    text = printed(found, width=120)
    part = text.split("by slice: difference, win/tie/loss")[1]
    for piece in found.slices:
        for pair in piece.pairs:
            assert f"{pair.test.difference.value:+.4f}" in part
            assert f"{pair.wins}/{pair.ties}/{pair.losses}" in part


def test_best_is_bold_and_second_underlined(found):
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system="standard")
    print_comparison(console, found)
    means = sorted((s.scores["ndcg@10"].mean for s in found.systems), reverse=True)
    text = console.file.getvalue()
    assert f"\x1b[1m{means[0]:.4f}" in text
    assert f"\x1b[4m{means[1]:.4f}" in text


def test_equal_systems_are_not_all_the_best_and_sd_has_the_digits_of_the_mean(tmp_path):
    for seed, mean in enumerate((250.0, 300.0)):
        for layers in (1, 2):
            popularity = np.full(40, mean + 10 * layers)
            values = {"ndcg@10": results(40, 0), "popularity@10": popularity}
            named = config(seed=seed, model__num_layers=layers)
            write_run(tmp_path / f"{layers}/{seed}", values, config=named)
    found = judged(tmp_path)
    lines = markdown(found).splitlines()
    ndcg, popularity = (
        next(line for line in lines if line.startswith(f"| {name}")) for name in ("ndcg", "popul")
    )
    assert "**" not in ndcg
    assert "<u>" not in ndcg
    # sd of 260 and 310: 50 / sqrt(2)
    assert "**285.0** ± 35.4" in popularity
    assert "| 295.0 ± 35.4" in popularity  # the second of two is the last: not marked
    assert "285.0 ± 35.4" in printed(found)
    tex = latex(found)
    assert "underline" not in f"{markdown(found)}{tex}"
    assert re.search(r"\\caption\{.*\}\n  \\label\{tab:shop-comparison\}", tex)
    assert r"\textbf{285.0} {\scriptsize$\pm$35.4}" in tex
    assert not re.search(r"^ *ndcg.*textbf", tex, re.MULTILINE)


def test_marks_of_all_pairs_are_told(tmp_path):
    every = judged(two_systems(tmp_path), baseline="none")
    assert "*" in "".join(tables.pair_cells(every.pairs[0]))
    assert "* the systems of a pair differ at the 0.05 level (Holm)" in tables.legend(every)


def test_forced_comparison_marks_every_table(tmp_path):
    values = {"ndcg@10": results(30, 0)}
    write_run(tmp_path / "a", values)
    write_run(tmp_path / "b", values, fields={"exclude_seen": False})
    forced = judged(tmp_path)
    text = printed(forced)
    titles = re.findall(r"^(.*)\n[┏]", text, re.MULTILINE)
    assert len(titles) >= 3
    assert all(title.startswith("Not comparable") for title in titles)
    headings = re.findall(r"^#+ .*(?:test|user by user|differs)$", markdown(forced), re.MULTILINE)
    assert headings
    assert all("Not comparable" in heading for heading in headings)
    assert "Not comparable" in latex(forced)
    assert csv_text(forced).splitlines()[1].startswith("False,")
    assert json.loads(json_text(forced))["is_comparable"] is False


def test_markdown_tables_are_regular(found):
    text = markdown(found)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(bars) == 1, block
    assert r"50% & \<b>\_\|$" in text
    assert text.count("**") % 2 == 0


def test_latex_is_well_formed(found):
    text = latex(found)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(found.systems)}
    for row in rows[1:]:
        assert row.count(r"\textbf{") == 1
        assert row.count(r"\underline{") == 1
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)[_#]", "".join(rows))
    assert "$^{*}$" in text
    assert [text.index(rule) for rule in ("toprule", "midrule", "bottomrule")] == sorted(
        text.index(rule) for rule in ("toprule", "midrule", "bottomrule")
    )


def test_csv_has_every_system_and_metric(found):
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert len(rows) == len(found.systems) * len(found.metrics)
    row = next(r for r in rows if r["system"].startswith("SASRec") and r["seeds"] == "0 1 2")
    pair = found.pair("ndcg@10", row["system"], "Popularity")
    assert float(row["p_holm"]) == pair.p_holm
    assert float(row["difference"]) == pair.test.difference.value
    assert row["seeds"] == "0 1 2"
    bounds = (float(row["bootstrap_low"]), float(row["bootstrap_high"]))
    assert bounds == pair.test.bootstrap
    assert bounds != (float(row["difference_low"]), float(row["difference_high"]))
    assert float(row["p_permuted"]) == pair.test.permutation_p
    assert float(row["effect_size"]) == pair.test.effect_size
    own = next(r for r in rows if r["system"] == "Popularity")
    assert (own["baseline"], own["difference"], own["losses"]) == ("Popularity", "", "")


def test_markdown_has_the_bootstrap_and_the_permuted_labels(tmp_path):
    for seed in range(3):
        for layers in (1, 2):
            values = {"ndcg@10": results(60, 10 * layers + seed)}
            write_run(
                tmp_path / f"{layers}/{seed}",
                values,
                config=config(seed=seed, model__num_layers=layers),
            )
    compared = judged(tmp_path)
    lines = markdown(compared).split("user by user")[1].strip().splitlines()
    heads, row = ([cell.strip() for cell in lines[n].strip("|").split("|")] for n in (0, 2))
    cells = dict(zip(heads, row, strict=True))
    (pair,) = compared.pairs
    low, high = pair.test.bootstrap
    assert cells["bootstrap interval"] == f"{low:+.4f} to {high:+.4f}"
    assert cells["bootstrap interval"] != cells["95% interval"]
    assert float(cells["p permuted"]) in [k / 20 for k in range(2, 21, 2)]  # 20 arrangements
    assert cells["d_z"] == f"{pair.test.effect_size:+.2f}"


def test_json_is_complete_and_strict(found, tmp_path):
    paths = write_exports(found, tmp_path)
    assert {p.name for p in paths} == {p.name for p in tmp_path.iterdir()}
    loaded = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert [s["name"] for s in loaded["systems"]] == [s.name for s in found.systems]
    assert loaded["runs"][3]["epochs"][0]["train/loss"] == 3.0
    assert loaded["runs"][3]["compute"]["seconds"] == 12.5
    assert loaded["pairs"][0]["test"]["difference"]["covers_seeds"] is True
    assert len(loaded["slices"]) == 2
    assert loaded["differing"]["model.hidden_dim"] == [None, 64, 32]


def test_numbers_as_written():
    assert p_text(0.00004) == "<0.0001"
    assert p_text(0.05) == "0.0500"
    assert (signed(-0.00001), signed(123.456)) == ("-0.0000", "+123.5")
