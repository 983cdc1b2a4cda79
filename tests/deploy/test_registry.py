"""The registry's file: versions, rollback, crashes, damage, several writers."""

import json
import multiprocessing
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.deploy.registry import Changed, Registry


def promoted(registry: Registry, run: Path, **more) -> int:
    champion = registry.champion()
    against = None if champion is None else champion.version
    return registry.promote(run, {"kind": "promotion"}, against=against, **more).version


def back(registry: Registry) -> Path:
    present, _ = registry.step_back()
    return registry.rollback({"kind": "rollback"}, against=present.version).run


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def runs(tmp_path):
    return [tmp_path / "runs" / name for name in "abcd"]


class TestVersions:
    def test_an_absent_registry_has_no_champion_and_is_not_made_by_reading(self, registry):
        assert registry.champion() is None
        assert registry.history() == []
        assert not registry.folder.exists()

    def test_the_file_has_the_champion_and_the_earlier_ones_oldest_first(self, registry, runs):
        for run in runs[:3]:
            promoted(registry, run, weights_sha256=run.name)
        values = json.loads(registry.file.read_text())
        assert values["schema"] == 1
        assert values["champion"]["run"] == "../runs/c"
        assert values["champion"]["decision"] == "decisions/0003.json"
        assert values["champion"]["export"] is None
        assert [entry["version"] for entry in values["history"]] == [1, 2]
        assert [old.run for old in registry.history()] == runs[:2]
        assert registry.champion().run == runs[2]
        assert json.loads(registry.champion().decision.read_text())["version"] == 3

    def test_a_project_may_move_and_runs_elsewhere_are_absolute(self, tmp_path):
        project = tmp_path / "project"
        inside, outside = Registry(project / "registry"), tmp_path / "other" / "run"
        promoted(inside, project / "runs" / "a", export=project / "exported")
        project.rename(tmp_path / "moved")
        moved = Registry(tmp_path / "moved" / "registry")
        assert moved.champion().run == tmp_path / "moved" / "runs" / "a"
        assert moved.champion().export == tmp_path / "moved" / "exported"
        promoted(moved, outside)
        assert json.loads(moved.file.read_text())["champion"]["run"] == str(outside)

    def test_rollbacks_go_further_back_and_do_not_count_as_champions(self, registry, runs):
        a, b, c, d = runs
        for run in (a, b, c):
            promoted(registry, run)
        assert [back(registry), back(registry)] == [b, a]
        assert registry.champion().version == 5
        with pytest.raises(UserError, match=r"version 1 \(\.\./runs/a\) was the first champion"):
            back(registry)
        assert promoted(registry, d) == 6
        assert back(registry) == a  # the champion before d, not c
        assert [old.version for old in registry.history()] == [1, 2, 3, 4, 5, 6]

    def test_nothing_to_roll_back(self, registry):
        with pytest.raises(UserError, match="no champion yet"):
            registry.step_back()

    def test_a_decision_against_another_champion_changes_nothing(self, registry, runs):
        promoted(registry, runs[0])
        before = registry.file.read_bytes()
        with pytest.raises(Changed, match=r"it was none, now version 1 .* run the command again"):
            registry.promote(runs[1], {}, against=None)
        with pytest.raises(Changed, match="it was version 7"):
            registry.promote(runs[1], {}, against=7)
        assert registry.file.read_bytes() == before
        assert [file.name for file in (registry.folder / "decisions").iterdir()] == ["0001.json"]

    def test_a_refused_candidate_gets_a_number_and_leaves_the_champion(self, registry, runs):
        promoted(registry, runs[0])
        before = registry.file.read_bytes()
        assert registry.note({"outcome": "refused"}).name == "0002.json"
        assert registry.file.read_bytes() == before
        promoted(registry, runs[1])
        assert registry.champion().decision.name == "0003.json"
        assert registry.champion().version == 2


class TestDamage:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "Invalid JSON"),
            ('{"schema": 1, "champ', "Invalid JSON"),
            ("[]", "not a registry"),
            ('{"schema": 2, "champion": null}', "schema: Input should be less than or equal to 1"),
            ('{"schema": 1}', "champion: Field required"),
            ('{"schema": 1, "champion": {"run": 3}}', "champion.run: Input should be a valid str"),
            ('{"schema": 1, "champion": {"run": "a", "version": "1"}}', "champion.version"),
        ],
    )
    def test_a_damaged_file_is_named_and_kept(self, registry, runs, text, message):
        promoted(registry, runs[0])
        registry.file.write_text(text)
        for work in (
            registry.champion,
            registry.step_back,
            lambda: registry.note({}),
            lambda: registry.promote(runs[1], {}, against=None),
        ):
            with pytest.raises(UserError, match=r"registry\.json") as raised:
                work()
            assert message in str(raised.value)
            assert "Restore the file from a copy" in str(raised.value)
        assert registry.file.read_text() == text
        assert len(list((registry.folder / "decisions").iterdir())) == 1

    def test_versions_that_do_not_grow(self, registry, runs):
        promoted(registry, runs[0])
        promoted(registry, runs[1])
        values = json.loads(registry.file.read_text())
        values["champion"]["version"] = 1
        registry.file.write_text(json.dumps(values))
        with pytest.raises(UserError, match=r"its versions are \[1, 1\], expected ascending"):
            registry.champion()

    def test_a_registry_that_is_a_file(self, tmp_path):
        (tmp_path / "registry").write_text("")
        with pytest.raises(UserError, match="cannot be written"):
            Registry(tmp_path / "registry").note({})


class TestCrashes:
    @pytest.mark.parametrize("file", ["registry.json", "0002.json"])
    def test_killed_between_the_temporary_file_and_the_rename(self, registry, runs, file):
        promoted(registry, runs[0])
        before = registry.file.read_bytes()
        child = multiprocessing.get_context("spawn").Process(
            target=_killed, args=(registry, runs[1], file)
        )
        child.start()
        child.join(60)
        assert child.exitcode == 9
        assert registry.file.read_bytes() == before
        assert any(registry.folder.rglob(f".{file}.*.tmp"))
        assert promoted(registry, runs[2]) == 2  # the dead process holds no lock
        assert not any(registry.folder.rglob("*.tmp"))
        assert registry.champion().run == runs[2]
        assert registry.champion().decision.exists()

    def test_a_full_disk_is_no_user_error_and_keeps_the_file(self, registry, runs, monkeypatch):
        promoted(registry, runs[0])
        before = registry.file.read_bytes()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            promoted(registry, runs[1])
        assert registry.file.read_bytes() == before


def _killed(registry, run, name):
    replace = Path.replace

    def die(self, target):
        if Path(target).name == name:
            os._exit(9)
        return replace(self, target)

    Path.replace = die
    promoted(registry, run)


class TestSeveralWriters:
    @pytest.mark.parametrize("kind", ["threads", "processes"])
    def test_one_of_those_that_compared_with_one_champion_wins(self, registry, runs, kind):
        promoted(registry, runs[0])
        names = [registry.folder.parent / "runs" / f"r{number}" for number in range(6)]
        if kind == "threads":
            with ThreadPoolExecutor(6) as pool:
                won = list(pool.map(_tries, [registry] * 6, names))
        else:
            with multiprocessing.get_context("spawn").Pool(3) as workers:
                won = workers.starmap(_tries, [(registry, name) for name in names])
        assert sum(won) == 1
        assert registry.champion().run == names[won.index(True)]
        assert [old.run for old in registry.history()] == runs[:1]
        assert len(list((registry.folder / "decisions").iterdir())) == 2

    def test_all_that_try_again_are_in_the_history_once(self, registry):
        names = [registry.folder.parent / f"r{number}" for number in range(5)]
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(_insists, [registry] * 5, names))
        chain = [*(old.run for old in registry.history()), registry.champion().run]
        assert sorted(chain) == sorted(names)
        assert registry.champion().version == 5


def _tries(registry, run):
    try:
        registry.promote(run, {}, against=1)
    except Changed:
        return False
    return True


def _insists(registry, run):
    while True:
        try:
            return promoted(registry, run)
        except Changed:
            continue


def test_a_copy_of_the_folder_is_a_registry_too(registry, runs, tmp_path):
    promoted(registry, runs[0])
    shutil.copytree(registry.folder, tmp_path / "copy")
    assert Registry(tmp_path / "copy").champion().run == runs[0]
