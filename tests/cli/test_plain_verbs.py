"""Verbs that compose no config: arguments, options and help."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.config.verbs import VERBS

PLAIN = sorted(name for name, verb in VERBS.items() if not verb.composes)


class TestPlainVerbs:
    def test_they_are_those_without_components(self):
        assert {"compare", "datasets", "evaluate", "explain", "recommend", "runs", "show"} <= {
            *PLAIN
        }
        assert {"prepare", "sweep", "tokenize", "train"}.isdisjoint(PLAIN)

    @pytest.mark.parametrize("verb", PLAIN)
    def test_help_has_every_option_with_the_words_and_the_value_of_its_yaml(
        self, verb, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "400")
        with pytest.raises(SystemExit) as ended:
            run_command([verb, "--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out.splitlines()
        text = (config_dir() / f"{verb}.yaml").read_text()
        assert set(yaml.safe_load(text)) == {f.name for f in dataclasses.fields(VERBS[verb].schema)}
        for key, value in yaml.safe_load(text).items():
            [line] = [x for x in said if x.split()[:1] == [f"--{key.replace('_', '-')}"]]
            comment = next(
                x for x in text.splitlines() if x.startswith((f"{key}:", f'"{key}":'))
            ).partition("# ")
            assert comment[2]
            assert comment[2] in line
            assert ("required" if value == "???" else "default ") in line

    @pytest.mark.parametrize(
        "arguments",
        [
            ("a", "b", "level=0.1", "force=true", "metric=hr@10", "columns"),
            ("a", "--level", "0.1", "b", "--force", "--metric=hr@10", "columns"),
            ("runs=[a,b,columns]", "--level=0.1", "++force=true", "metric='hr@10'"),
        ],
    )
    def test_an_option_is_a_key_or_a_flag(self, arguments, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert run_command(["compare", *arguments, "--cfg", "job"]) == 0
        shown = yaml.safe_load(capsys.readouterr().out)
        defaults = yaml.safe_load((config_dir() / "compare.yaml").read_text())
        typed = {"runs": ["a", "b", "columns"], "level": 0.1, "force": True, "metric": "hr@10"}
        assert shown == {**defaults, **typed}
        assert list(tmp_path.iterdir()) == []

    def test_every_mistake_is_told_with_what_was_typed(self, capsys):
        assert run_command(["runs", "limt=3", "--limit", "0", "sort=null", "level=a,b"]) == 2
        said = capsys.readouterr().err
        assert "4 problems in the config" in said
        assert "limt: no such key; did you mean 'limit'?" in said
        assert (
            "limit: expected an int >= 1 or null, got 0 (int). (from the override limit=0)" in said
        )
        assert "sort: expected text, got None" in said
        assert "level=a,b: runs takes one value per key" in said

    def test_a_value_may_begin_with_a_minus(self, capsys):
        assert run_command(["runs", "--sort", "-test/ndcg@10", "--cfg", "job"]) == 0
        assert yaml.safe_load(capsys.readouterr().out)["sort"] == "-test/ndcg@10"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["runs", "where=seed=0", "where=seed=1"], "where is given twice, also as where=seed"),
            (["runs", "--where", "seed=0", "--where=seed=1"], "separated by commas"),
            (["runs", "--where", "seed=0", "where=seed=1"], "where is given twice"),
            (["compare", "a", "b", "runs=[c]"], "runs is given twice, also as a b; runs: run dir"),
            (["show"], "give a run: recsys-lab show RUN"),
            (["evaluate"], "give a run: recsys-lab evaluate RUN"),
            (["compare", "--force"], "give runs: recsys-lab compare runs/"),
        ],
    )
    def test_a_key_is_given_once_and_a_run_at_all(self, arguments, said, capsys):
        assert run_command([*arguments, "--cfg", "job"]) == 2
        assert said in capsys.readouterr().err
