"""Decisions about finished runs: what is measured, written, refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recsys_lab
from recsys_lab.cli.main import run_command
from recsys_lab.files.digests import digest
from recsys_lab.runs.record import FITTED, RunRecord
from tests.cli.flow import rewrite

QUICK = ["latency=null", "coverage=null", "resamples=400"]


def promote(*arguments):
    """The exit code."""
    return run_command(["promote", *arguments, *([] if "--rollback" in arguments else QUICK)])


def decision(number, registry="registry"):
    return json.loads((Path(registry) / "decisions" / f"{number:04d}.json").read_text())


def change_weights(folder, change):
    """Change a fitted array of a run, and its record accordingly."""
    with np.load(folder / FITTED) as stored:
        arrays = dict(stored)
    floats = [name for name, array in arrays.items() if array.dtype.kind == "f"]
    name = (floats or list(arrays))[0]
    arrays[name] = change(arrays[name])
    np.savez(folder / FITTED, **arrays)
    values = RunRecord.load(folder).values
    rewrite(folder, {**values, "files": {**values["files"], FITTED: digest(folder / FITTED)}})


def champion(registry="registry"):
    return Path(json.loads((Path(registry) / "registry.json").read_text())["champion"]["run"]).name


@pytest.mark.usefixtures("shop")
class TestPromotion:
    def test_the_first_champion_needs_sanity_only_and_the_next_one_the_gate(self, shop, capsys):
        assert promote("pop_old") == 0
        assert "only sanity checks" in " ".join(capsys.readouterr().out.split())
        assert decision(1)["against"] == "popularity"
        assert promote("knn_new", "margin=0.05") == 0
        noted = decision(2)
        assert noted["outcome"] == "promoted"
        assert noted["candidate"]["weights_sha256"] == digest(shop / "knn_new" / FITTED)["sha256"]
        assert noted["champion"]["weights_sha256"] == digest(shop / "pop_old" / FITTED)["sha256"]
        assert noted["champion"]["version"] == 1
        assert noted["rules"]["margin"] == 0.05
        names = {check["name"].partition("=")[0] for check in noted["checks"]}
        assert {"target_popularity", "history_length", "user_country"} <= names
        assert json.loads((shop / "knn_new" / "promotion.json").read_text()) == noted
        assert champion() == "knn_new"
        assert "shown to be within the margin of 5" in capsys.readouterr().out

    def test_swapping_the_models_flips_the_verdict_and_the_numbers(self):
        assert promote("pop_new", "registry=a") == promote("knn_new", "registry=b") == 0
        assert promote("knn_new", "registry=a", "margin=0.05") == 0
        assert promote("pop_new", "registry=b", "margin=0.05") == 3
        up, down = decision(2, "a"), decision(2, "b")
        assert up["means"]["candidate"] == down["means"]["champion"]
        assert up["means"]["champion"] == down["means"]["candidate"]
        assert up["means"]["candidate"]["ndcg@10"] > 1.2 * up["means"]["champion"]["ndcg@10"]
        assert (champion("a"), champion("b")) == ("knn_new", "knn_new")

    @pytest.mark.parametrize("name", ["knn_new", "timed_new"])
    def test_fresh_numbers_are_those_of_the_test_of_the_run(self, shop, name):
        promote(name)
        noted, own = decision(1)["means"]["candidate"], RunRecord.load(shop / name).values["test"]
        shared = set(noted) & set(own)
        assert {"ndcg@10", "hr@1", "mrr@20", "coverage@10"} <= shared
        assert {key: noted[key] for key in shared} == pytest.approx({k: own[k] for k in shared})

    def test_the_champion_ranks_the_same_users_by_raw_ids(self):
        """Its hits are those of `recommend` for the same histories, among the shared items."""
        assert promote("knn_old") == 0
        promote("knn_new")
        new, old = recsys_lab.load("knn_new"), recsys_lab.load("knn_old")
        tested = new.per_user()
        events, times = new.dataset.prepared, []
        for user, _, end, _ in np.asarray(events.segments("test")):
            times += [(events.user_ids()[user], int(events.timestamps[end]))]
        log = pl.read_csv("new.csv").join(
            pl.DataFrame(times, ["user_id", "until"], orient="row"), on="user_id"
        )
        with pytest.warns(UserWarning, match="not in the catalogue"):
            lists = old.recommend(log.filter(pl.col("timestamp") < pl.col("until")), k=1000)
        items = set(new.items["item_id"])
        best = lists.filter(pl.col("item_id").is_in(items)).group_by("user_id").head(10)
        pairs = tested.select("user_id", item_id="target_id").join(best, on=["user_id", "item_id"])
        noted = decision(2)
        assert noted["means"]["champion"]["hr@10"] == pytest.approx(len(pairs) / len(tested))
        assert noted["holdout"]["champion"]["known_items"] == len(items & set(old.items["item_id"]))
        assert noted["holdout"]["champion"]["skipped_events"] > 0
        assert noted["holdout"]["candidate"]["skipped_events"] == 0

    def test_a_worse_run_is_refused_as_the_first_and_as_the_next(self, shop):
        change_weights(shop / "pop_old", lambda counts: counts.max() - counts)
        assert promote("pop_old", "registry=a") == 3
        assert "worse than popularity" in decision(1, "a")["reasons"][0]
        assert not (shop / "a" / "registry.json").exists()
        assert promote("knn_new") == 0
        assert promote("pop_new") == 3
        assert "a loss beyond the margin" in decision(2)["reasons"][0]
        assert champion() == "knn_new"

    def test_a_dry_run_writes_nothing(self, shop, capsys):
        change_weights(shop / "pop_old", lambda counts: counts.max() - counts)
        before = sorted(shop.rglob("*"))
        assert promote("knn_old", "--dry-run") == 0
        assert promote("pop_old", "dry_run=true") == 3
        assert sorted(shop.rglob("*")) == before
        assert "dry run, nothing was written" in capsys.readouterr().out

    def test_coverage_and_latency_are_measured(self, shop):
        assert promote("pop_old") == 0
        bounds = ["latency=0.001", "latency_ms=0", "coverage=0"]
        assert run_command(["promote", "knn_new", *bounds]) == 3
        checks = {check["name"]: check for check in decision(2)["checks"]}
        assert checks["latency"]["outcome"] == "refused"
        assert checks["latency"]["candidate"] > 0
        own = RunRecord.load(shop / "knn_new").values["test"]["coverage@10"]
        assert checks["coverage"]["candidate"] == pytest.approx(own)


@pytest.mark.usefixtures("shop")
class TestRollback:
    def test_twice_and_no_further(self, capsys):
        for name in ("pop_old", "knn_old", "knn_new"):
            assert promote(name, "margin=0.9", "when_unsure=promote") == 0
        assert promote("--rollback", "--dry-run") == 0
        assert champion() == "knn_new"
        assert promote("--rollback") == 0
        assert champion() == "knn_old"
        assert decision(4)["kind"] == "rollback"
        assert decision(4)["reasons"] == ["rollback from version 3 to the run of 2"]
        assert promote("--rollback") == 0
        assert champion() == "pop_old"
        assert promote("--rollback") == 2
        assert "was the first champion" in capsys.readouterr().err

    def test_to_a_run_that_is_gone_changes_nothing(self, capsys):
        for name in ("pop_old", "knn_new"):
            assert promote(name, "margin=0.9") == 0
        shutil.rmtree("pop_old")
        assert promote("--rollback") == 2
        assert "version 1" in capsys.readouterr().err
        assert champion() == "knn_new"

    def test_it_takes_no_candidate(self, capsys):
        assert promote("pop_old", "--rollback") == 2
        assert "not allowed with rollback" in capsys.readouterr().err
        assert promote() == 2
        assert "give a candidate: recsys-lab promote RUN_DIR" in capsys.readouterr().err


@pytest.mark.usefixtures("shop")
class TestRefused:
    def test_the_champion_itself_and_a_copy_of_it(self, capsys):
        assert promote("pop_old") == 0
        shutil.copytree("pop_old", "copy")
        assert promote("pop_old") == promote("copy") == 3
        said = capsys.readouterr().out
        assert "pop_old is already champion (version 1)" in said
        assert "copy has the weights of" in said
        # Nothing is decided about the champion itself; of the copy, a refusal.
        assert len(list(Path("registry/decisions").iterdir())) == 2
        assert decision(2)["outcome"] == "refused"
        assert "copy has the weights of" in decision(2)["reasons"][0]
        assert champion() == "pop_old"

    def test_a_champion_whose_folder_was_moved_keeps_its_version(self, capsys):
        assert promote("pop_old") == promote("knn_old", "margin=0.5") == 0
        Path("knn_old").rename("elsewhere")
        assert promote("elsewhere", "dry_run=true") == 0
        assert champion() == "knn_old"
        assert promote("elsewhere") == 0
        assert "whose folder" in capsys.readouterr().out
        assert (decision(3)["kind"], decision(3)["version"]) == ("move", 2)
        stored = json.loads(Path("registry/registry.json").read_text())
        assert (stored["champion"]["run"], stored["champion"]["version"]) == ("../elsewhere", 2)
        assert [old["version"] for old in stored["history"]] == [1]
        assert promote("elsewhere") == 3  # as of any champion
        assert promote("--rollback") == 0
        assert champion() == "pop_old"

    def test_a_champion_that_knows_the_holdout(self):
        assert promote("pop_new") == 0
        assert promote("knn_old") == 3
        [reason] = decision(2)["reasons"]
        assert "pop_new) was trained or selected on" in reason
        assert "targets of the holdout, e.g. user_id u" in reason
        assert promote("knn_new", "margin=0.05") == 0  # the same data, another model

    def test_initial_weights_that_know_the_holdout(self, shop):
        values = RunRecord.load(shop / "knn_old").values
        rewrite("knn_old", {**values, "init_from": {"run": str(shop / "pop_new")}})
        assert promote("knn_old") == 3
        assert "started with the weights of" in decision(1)["reasons"][0]

    def test_unlike_protocols_unless_forced(self):
        assert promote("pop_new") == 0
        assert promote("timed_new") == 3
        assert "evaluation.exclude_seen is False, of the champion True" in decision(2)["reasons"][0]
        assert promote("timed_new", "--force", "margin=0.99", "when_unsure=promote") == 0
        assert any("force=true" in note for note in decision(3)["notes"])

    @pytest.mark.parametrize("side", ["candidate", "champion"])
    def test_weights_that_are_not_finite(self, shop, side):
        assert promote("pop_old") == 0
        assert promote("knn_old", "margin=0.5") == 0
        broken = {"candidate": "knn_new", "champion": "knn_old"}[side]
        change_weights(shop / broken, lambda array: array * np.nan)
        if side == "champion":
            registry = json.loads(Path("registry/registry.json").read_text())
            registry["champion"]["weights_sha256"] = digest(shop / broken / FITTED)["sha256"]
            Path("registry/registry.json").write_text(json.dumps(registry))
        assert promote("knn_new", "when_unsure=promote", "margin=0.9") == 3
        [reason] = decision(3)["reasons"]
        assert reason.startswith(f"the {side}: the weights ")
        assert champion() == "knn_old"


@pytest.mark.usefixtures("shop")
class TestMistakes:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"status": "failed"}, "the run's status is 'failed', so it has no model to promote"),
            ({"test": None}, "a trial of a sweep"),
            ({"windows": []}, "a back-test; promote one of its windows"),
        ],
    )
    def test_a_run_that_cannot_be_promoted(self, shop, capsys, change, message):
        values = {**RunRecord.load(shop / "knn_new").values, **change}
        rewrite("knn_new", {key: value for key, value in values.items() if value is not None})
        assert promote("knn_new") == 2
        assert message in capsys.readouterr().err
        assert not (shop / "registry").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere"], "not a run"),
            (["knn_new", "metric=ndgc@10"], "did you mean 'ndcg@10'?"),
            (["knn_new", "metric=coverage@10"], "expected a hit metric"),
            (["knn_new", "guard=[user_contry]"], "did you mean 'user_country'?"),
            (["knn_new", "export=nowhere"], "export=nowhere: there is no such folder"),
            (["knn_new", "level=0.00001"], "resamples=400: too few to show a harm"),
            (["knn_new", "margin=-1"], "margin: expected"),
            (["knn_new", "registry=mlflow:shop"], "the champion is named in a folder"),
        ],
    )
    def test_options(self, capsys, arguments, message):
        assert promote("pop_old") == 0
        assert promote(*arguments) == 2
        assert message in capsys.readouterr().err
        assert champion() == "pop_old"
        assert len(list(Path("registry/decisions").iterdir())) == 1

    def test_a_champion_that_is_gone_or_was_trained_again(self, capsys):
        assert promote("pop_old") == 0
        before = Path("registry/registry.json").read_bytes()
        Path("pop_old").rename("moved")
        assert promote("knn_new") == 2
        said = capsys.readouterr().err
        assert "version 1" in said
        assert "restore the folder, or start another registry: registry=" in said
        shutil.copytree("knn_old", "pop_old")
        assert promote("knn_new") == 2
        assert "its weights are not those that were promoted" in capsys.readouterr().err
        assert Path("registry/registry.json").read_bytes() == before

    def test_a_damaged_registry(self, capsys):
        Path("registry").mkdir()
        Path("registry/registry.json").write_text("{")
        assert promote("knn_new") == 2
        assert "registry.json: not a registry" in capsys.readouterr().err
        assert [path.name for path in Path("registry").iterdir()] == ["registry.json"]
