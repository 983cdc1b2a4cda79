"""Names of other frameworks, and words that are no overrides: the advice works when followed."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.config.help.habits import HABITS, habits_of
from recsys_lab.config.help.keys import components, default_choices, verb_keys


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> list[str]:
        assert run_command([*arguments]) == 2
        lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
        return [line for line in lines if not re.match(r"recsys-lab: \d+ problem", line)]

    return run


@pytest.fixture
def composed(tmp_path, monkeypatch, capsys):
    """The config of a command, which is valid."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> dict:
        assert run_command(["train", *arguments, "--cfg", "job"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return yaml.safe_load(out)

    return run


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """Every key and group of train and sweep."""
    found = {*default_choices(), "search", *(key.name for key in verb_keys("train"))}
    for group in ("data", "filter", "split", "model", "loss", "recipe", "evaluation", "tracking",
                  "sweep"):  # fmt: skip
        for values in components(group).values():
            found |= {f"{group}.{key}" for options in values.values() for key in options}
    return found


@pytest.mark.parametrize("name", HABITS)
def test_the_labs_name_exists(name, keys):
    habit = HABITS[name]
    assert habit.key or habit.use or habit.note
    assert name == name.lower()
    if habit.key:
        assert habit.key in keys
    for typed in shlex.split(habit.use):
        assert typed.partition("=")[0] in keys
    for mentioned in re.findall(r"\b(?:recipe|filter|evaluation|data|model)\.\w+", habit.note):
        assert mentioned in keys


SLOTS = {"recipe.precision": "recipe.accelerator"}  # half precision is refused on a CPU


def test_overrides_of_the_table_are_valid_together_with_a_default_run(composed):
    """Those of different keys in one command, as composing takes half a second."""
    commands: list[dict[str, str]] = []
    for use in dict.fromkeys(habit.use for habit in HABITS.values() if habit.use):
        keys = ((word.partition("=")[0], word) for word in shlex.split(use))
        words = {SLOTS.get(key, key): word for key, word in keys}
        for command in commands:
            if command.keys().isdisjoint(words):
                command.update(words)
                break
        else:
            commands.append(words)
    for command in commands:
        composed(*command.values())


ADVICE = re.compile(r"here it is ([\w.]+=[^\s(]+?)\.? ?(?:\(|$)")


WITH_VALUES = {
    "trainer.max_epochs=5": "recipe.max_epochs=5",
    "+trainer.gradient_clip_val=0.5": "recipe.gradient_clip=0.5",
    "logger=wandb": "tracking=wandb",
    "callbacks.early_stopping.patience=3": "recipe.patience=3",
    "lr=0.01": "recipe.learning_rate=0.01",
    "recipe.lr=0.01": "recipe.learning_rate=0.01",
    "model.optimizer.lr=0.01": "recipe.learning_rate=0.01",
    "batch_size=64": "recipe.batch_size=64",
    "data.batch_size=64": "recipe.batch_size=64",
    "epochs=5": "recipe.max_epochs=5",
    "learner=AdamW": "recipe.optimizer=adamw",
    "dataset=recbole": "data=recbole",
    "MAX_ITEM_LIST_LENGTH=20": "model.max_length=20",
    "model.n_layers=3": "model.num_layers=3",
    "filter_viewed=false": "evaluation.exclude_seen=false",
    "bf16=true": "recipe.precision=bf16-mixed",
    "output_dir=here": "run_dir=here",
    "trainer.fast_dev_run=true": "debug=fast",
}


def test_advice_with_a_value_works_when_followed(refused, composed):
    advised = {}
    for line in refused("train", *WITH_VALUES):
        message, _, typed = line.removesuffix(")").partition(" (from the override ")
        found = ADVICE.search(message)
        assert found, line
        advised[typed] = found[1]
    assert advised == WITH_VALUES
    whole = composed(*dict.fromkeys(advised.values()))
    for override in advised.values():
        key, _, value = override.partition("=")
        found_value = whole
        for part in key.split("."):
            found_value = found_value[part]
        assert (config_dir() / key).is_dir() or str(found_value).lower() == value


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("callbacks=none", "here it is recipe.patience=10 recipe.monitor=val/ndcg@10"),
        ("ckpt_path=last.ckpt", "resume=RUN_DIR continues a run"),
        ("trainer.precision=64", "recipe.precision, one of 'auto', '32', 'bf16-mixed'"),
        ("num_workers=4", "without worker processes"),
        ("dataset=ml-1m", "did you mean 'movielens_1m'"),
        ("trainer.gpus=2", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_advice_in_words(typed, said, refused):
    [line] = refused("train", typed)
    assert said in line


def test_no_option_is_advised_that_the_model_does_not_have(refused):
    [line] = refused("train", "model=gru4rec", "model.n_heads=2")
    assert "here it is" not in line
    assert "'num_heads' (an option of model=" in line


def test_several_habits_in_one_command_and_in_other_verbs(refused):
    lines = refused("train", "epochs=3", "logger.wandb.project=x", "foo=1")
    assert [line.partition(":")[0] for line in lines] == ["epochs", "logger.wandb.project", "foo"]
    [line] = refused("sweep", "optimized_metric=val/ndcg@10")
    assert "sweep.objectives" in line
    [line] = refused("runs", "epochs=3")
    assert "recipe" not in line
    assert [habit.key for habit in habits_of("trainer.nothing")] == ["recipe"]


WORDS = {
    "evaluation.ks=[5,| 10]": "'evaluation.ks=[5,  10]'",
    "name=my|run": "'name=my run'",
    "seed|=|3": "seed=3",
    "seed:3": "seed=3",
    "--seed|3": "seed=3",
    "--recipe.max-epochs=3": "recipe.max_epochs=3",
    "--epochs=3": "recipe.max_epochs=3",
    "--batch_size|3": "recipe.batch_size=3",
    "recipe.optimizer={_target_:|my.Lion}": "'recipe.optimizer={_target_: my.Lion}'",
}


def test_quotes_and_spaces_that_are_advised_work(refused, composed):
    for words, quoted in WORDS.items():
        [line] = refused("train", *words.split("|"))
        assert line.endswith(f": {quoted}"), line
    found = composed(
        *(w for text in WORDS.values() if "my." not in text for w in shlex.split(text))
    )
    assert (found["seed"], found["name"], found["evaluation"]["ks"]) == (3, "my run", [5, 10])


def test_words_that_are_nothing(refused):
    assert refused("train", "=3") == ["=3: expected key=value, got no key before ="]
    assert refused("train", "seed") == ["seed: expected key=value, got no ="]
    [line] = refused("train", "my key=3")
    assert line.startswith("my key=3: 'my key' is not a key")


def test_a_choice_of_ones_own_is_a_file(refused, tmp_path):
    [line] = refused("train", "loss=mine")
    assert "One of your own is a file loss/mine.yaml in a folder given as --config-dir" in line
    [line] = refused("train", "loss=my_losses.Hinge")
    assert "A class is chosen by a file loss/NAME.yaml with _target_: my_losses.Hinge" in line
    (tmp_path / "conf/loss").mkdir(parents=True)
    text = (config_dir() / "loss/softmax.yaml").read_text()
    (tmp_path / "conf/loss/mine.yaml").write_text(text)
    [line] = refused("train", "loss=mine")
    assert "There is conf/loss/mine.yaml: add --config-dir conf." in line
    assert run_command(["train", "loss=mine", "--config-dir", "conf", "--cfg", "job"]) == 0


def test_an_override_is_printed_as_it_was_typed(refused):
    [line] = refused("train", "data=table", "data.path=x", "data.item_features={title: words}")
    assert line.endswith("(from the override data.item_features={title: words})")
    lines = refused("train", "-m", "data.columns={a: b},{c: d}")
    assert [line.rpartition("override ")[2] for line in lines] == [
        "data.columns={a:b})",
        "data.columns={c:d})",
    ]
    [line] = refused("train", "prepared_dir=a b", "seed=x")
    assert line.endswith("(from the override seed=x)")


def test_cfg_names_what_a_run_would_refuse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text("_target_: recsys_lab.models.nothing.Net\n")
    command = ["train", "--config-dir", "conf", "model=mine", "--cfg", "job"]
    assert run_command(command) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["model"] == {"_target_": "recsys_lab.models.nothing.Net"}
    assert "1 problem in this config, for which a run would be refused" in err
    assert "model._target_: no module 'recsys_lab.models.nothing'" in err
    # What cannot be composed at all gets the answer of a command that runs.
    for flags in (["--cfg", "job"], ["--help"], []):
        assert run_command(["train", "lr=1e-3", *flags]) == 2
        assert "recipe.learning_rate=0.001" in capsys.readouterr().err
