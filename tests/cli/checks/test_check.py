"""What the command line says about mistakes: all at once, each with its origin."""

from __future__ import annotations

import pytest


def test_all_problems_at_once_with_the_overrides_they_came_from(shell):
    assert shell.refused("toy", "model.num_layer=3", "model.rate=fast", "model.pth=x") == [
        "recsys-lab: 3 problems in the config:",
        "model.rate: expected a float > 0, got 'fast' (str). (from the override model.rate=fast)",
        "model.num_layer: Net has no option 'num_layer'; did you mean 'num_layers'? "
        "Options: num_layers, rate. (from the override model.num_layer=3)",
        "model.pth: Net has no option 'pth'; did you mean 'path' (an option of model=flat)? "
        "Options: num_layers, rate. (from the override model.pth=x)",
    ]
    assert shell.files() == {"configs", "toy_parts.py"}


def test_problems_in_yaml_name_the_file(shell):
    shell.write("configs/model/net.yaml", "_target_: toy_parts.Net\nnum_layers: 0\n")
    shell.write("configs/toy.yaml", (shell.folder / "configs/toy.yaml").read_text() + "sead: 3\n")
    assert shell.refused("toy")[1:] == [
        "sead: no such key; did you mean 'seed'? Keys: model, seed, run_dir, resume. "
        "(from configs/toy.yaml)",
        "model.num_layers: expected an int >= 1, got 0 (int). (from configs/model/net.yaml)",
        "model.rate: missing; Net needs it, and no config sets it. (from configs/model/net.yaml)",
    ]


def test_problems_in_an_experiment_name_its_file(shell):
    [_, line] = shell.refused("toy", "experiment=broken")
    assert line.endswith("(from configs/experiment/broken.yaml)")


def test_problems_in_the_users_own_folder_name_its_file(shell):
    shell.write("mine/model/own.yaml", "_target_: toy_parts.Net\nnum_layers: 1\nrate: -1\n")
    [_, line] = shell.refused("toy", "--config-dir", "mine", "model=own")
    assert line == "model.rate: expected a float > 0, got -1 (int). (from mine/model/own.yaml)"


def test_unknown_choices_are_reported_with_the_rest(shell):
    assert shell.refused("toy", "model=nett", "+experiment=study/deap", "seed=x", "modle=net")[
        1:
    ] == [
        "model: no choice 'nett'; did you mean 'net'? Choices: flat, net. "
        "(from the override model=nett)",
        "experiment: no choice 'study/deap'; did you mean 'study/deep'? "
        "Choices: broken, study/deep. (from the override experiment=study/deap)",
        "seed: expected an int >= 0, got 'x' (str). (from the override seed=x)",
        "modle: no such key; did you mean 'model'? Keys: model, seed, run_dir, resume. "
        "(from the override modle=net)",
    ]


def test_a_group_needs_a_name(shell):
    [_, line] = shell.refused("toy", "model=null")
    assert line == ("model: no choice 'null'. Choices: flat, net. (from the override model=null)")


def test_a_misspelt_group_that_is_no_key(shell):
    [_, line] = shell.refused("toy", "experimnt=deep")
    assert line.startswith("experimnt: no such key; did you mean 'experiment'?")


def test_overrides_that_cannot_be_read_do_not_hide_the_others(shell):
    lines = shell.refused("toy", "seed", "b=[", "~nothing", "model.num_layers.x=1", "seed=-1")
    assert lines[0] == "recsys-lab: 5 problems in the config:"
    assert lines[1] == "seed: expected key=value, got no ="
    assert lines[2].startswith("~nothing: Could not delete from config.")
    assert {line.partition(":")[0] for line in lines[3:]} == {"seed", "b", "model.num_layers"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"_target_: [toy\n", "not valid YAML: line 2, column 1: expected ',' or ']'"),
        (b"model:\n\tx: 1\n", "not valid YAML: line 2, column 1: found character '\\t' that "
         "cannot start any token; indent with spaces, not tabs."),
        (b"seed: 1\nmodel: {}\nseed: 2\n",
         "not valid YAML: line 3, column 1: found duplicate key seed."),
        (b"# caf\xe9\nseed: 1\n", "not UTF-8"),
    ],
    ids=["bracket", "tab", "twice", "latin-1"],
)  # fmt: skip
@pytest.mark.parametrize("flags", [(), ("--cfg", "job"), ("--help",)])
def test_yaml_that_cannot_be_parsed(shell, content, said, flags):
    (shell.folder / "mine/experiment").mkdir(parents=True)
    (shell.folder / "mine/experiment/own.yaml").write_bytes(content)
    command = ["toy", "--config-dir", "mine", "experiment=own", *flags]
    [line] = shell.refused(*command)
    assert line.startswith(f"recsys-lab: mine/experiment/own.yaml: {said}")


def test_a_byte_order_mark_hides_no_header(shell):
    text = "\ufeff# @package _global_\nseed: none\n"
    shell.write("mine/experiment/own.yaml", text)
    [_, line] = shell.refused("toy", "--config-dir", "mine", "experiment=own")
    assert line.startswith("seed: expected an int")


@pytest.mark.parametrize("header", ["", "# mine\n# @package _global_\n"])
def test_an_experiment_without_its_header_says_so(shell, header):
    shell.write("mine/experiment/own.yaml", f"{header}seed: 3\n")
    [_, line] = shell.refused("toy", "--config-dir", "mine", "experiment=own")
    assert "begin the file with the line '# @package _global_'" in line
    assert line.endswith("(from mine/experiment/own.yaml)")


@pytest.mark.parametrize("flags", [(), ("--cfg", "job"), ("--help",)])
def test_a_choice_that_is_not_there_is_never_passed_over(shell, flags):
    [_, line] = shell.refused("toy", "experiment=nope", *flags)
    assert line.startswith("experiment: no choice 'nope'.")


def test_a_missing_folder_of_own_configs(shell):
    [line] = shell.refused("toy", "--config-dir", "nowhere")
    assert line == f"recsys-lab: --config-dir: no folder {shell.folder / 'nowhere'}."


def test_every_swept_value_is_checked_before_the_first_job(shell):
    lines = shell.refused("toy", "-m", "seed=0,1,x", "model=net,flatt", "model.num_layers=1,0")
    assert [line.partition(":")[0] for line in lines[1:]] == ["model", "seed", "model.num_layers"]
    assert "(from the override seed=x)" in lines[2]


def test_a_sweep_without_multirun_says_so(shell):
    [_, line] = shell.refused("toy", "seed=0,1")
    assert "add --multirun" in line


@pytest.mark.parametrize(
    "override",
    [
        "+hydra.callbacks.x._target_=os.system",
        "++hydra.launcher._target_=os.system",
        "+hydra.job_logging.handlers.x={class:os.system}",
        "+hydra.job_logging.handlers.x={stream:'ext://os.environ'}",
    ],
)
@pytest.mark.parametrize("flags", [(), ("--cfg", "job"), ("--help",)])
def test_hydras_settings_cannot_run_code(shell, override, flags):
    [_, line] = shell.refused("toy", override, *flags)
    assert line.endswith("is not allowed: it could run arbitrary code.")


@pytest.mark.parametrize("key", ["(): os.system", "stream: ext://os.environ", "class: os.system"])
def test_nor_can_those_in_a_file(shell, key):
    text = "defaults: [toy, _self_]\nhydra: {job_logging: {handlers: {x: {" + key + "}}}}\n"
    shell.write("mine/own.yaml", text)
    [_, line] = shell.refused("toy", "--config-dir", "mine", "--config-name", "own")
    assert line.endswith("is not allowed: it could run arbitrary code.")


def test_pickles_are_refused(shell):
    assert "pickle" in shell.refused("toy", "--experimental-rerun", "x.pickle")[0]


def test_a_target_that_is_not_allowed(shell, monkeypatch):
    monkeypatch.delenv("RECSYS_LAB_ALLOWED_TARGETS")
    [_, line] = shell.refused("toy")
    assert line.startswith("model._target_: 'toy_parts.Net' is not under an allowed prefix")
    assert "export RECSYS_LAB_ALLOWED_TARGETS=toy_parts" in line
