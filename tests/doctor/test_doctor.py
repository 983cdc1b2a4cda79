"""The verb ``doctor``: what is found, told and kept secret."""

import json
import os
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.doctor import devices, examine, packages, paths


def test_the_report_says_what_this_machine_has(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hush@example.org")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SHELL_OF_MINE", "unrelated")
    assert run_command(["doctor", "--format", "json"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert found["processor"]["cores"] == os.cpu_count()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < found["free_memory"] <= 2 * total
    assert found["packages"]["torch"] == metadata.version("torch")
    assert found["environment"]["OMP_NUM_THREADS"] == "1"
    assert found["environment"]["WANDB_API_KEY"] == "set"
    assert "0123456789abcdef" not in printed
    assert "hush" not in printed
    assert "SHELL_OF_MINE" not in printed
    names = {file.stem for file in (config_dir() / "launcher").glob("*.yaml")}
    assert {each["name"] for each in found["launchers"]} == names
    assert all(each["reason"] for each in found["fast_paths"] + found["extras"])


def test_the_table_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert run_command(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert any("loss.kernel=auto" in line for line in lines)


def test_extras_are_those_of_the_metadata_and_name_what_is_missing(monkeypatch):
    given = {"torch": "2.13.0", "captum": "0.1", "mlflow": "3.17.2"}
    monkeypatch.setattr(packages, "_version", given.get)
    found = {each.name: each for each in packages.extras()}
    assert set(found) == set(metadata.metadata("recsys-lab").get_all("Provides-Extra")) - {
        "dev", "docs",
    }  # fmt: skip
    assert found["mlflow"].usable
    assert not found["explain"].usable
    assert found["explain"].reason.startswith("captum is 0.1, needed ")
    assert found["tensorboard"].reason.startswith("tensorboard is not installed; pip install ")


@pytest.mark.parametrize(
    ("driver", "cuda", "hidden", "expected"),
    [
        (None, None, None, "is built without CUDA"),
        ("580.1", None, None, "is built without CUDA; the machine has a GPU driver 580.1"),
        ("580.1", "13.0", "", "CUDA_VISIBLE_DEVICES hides all devices"),
        (None, "13.0", None, "no GPU driver: nvidia-smi is missing or fails"),
        ("470.1", "13.0", None, "driver 470.1, but torch's CUDA 13.0 cannot use it: no reason"),
    ],
)
def test_why_there_is_no_gpu(monkeypatch, driver, cuda, hidden, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_driver", lambda: driver)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found, reason = devices.gpus()
    assert found == []
    assert expected in reason


def test_a_gpu_turns_the_fast_paths_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3 << 30, 4 << 30))
    made = SimpleNamespace(name="A card", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: made)
    monkeypatch.setattr(devices, "_driver", lambda: "580.1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    found, reason = devices.gpus()
    assert [gpu["name"] for gpu in found] == ["A card", "A card"]
    assert reason == "CUDA 13.0, driver 580.1"
    assert {each.name: each for each in paths.fast_paths()}["recipe.precision=auto"].usable
    assert {each.name: each.reason for each in paths.launchers()}["local"] == "2 GPUs"


def test_programs_that_are_missing(monkeypatch, tmp_path):
    """Without a compiler, Java and sbatch; the launchers' own refusals are the reasons."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    found = {each.name: each for each in paths.fast_paths()}
    assert not found["recipe.compile=true"].usable
    assert found["recipe.compile=true"].reason.startswith("there is neither g++ nor clang++")
    assert found["engine=spark"].reason == "no Java found; needs 17 or newer"
    slurm = {each.name: each for each in paths.launchers()}["slurm"]
    assert (slurm.usable, slurm.reason) == (False, "no sbatch on the PATH")
    monkeypatch.setitem(sys.modules, "ray", None)
    ray = {each.name: each for each in paths.launchers()}["ray"]
    assert not ray.usable
    assert "needs Ray" in ray.reason


@pytest.mark.parametrize(
    ("answer", "major"),
    [('openjdk version "17.0.2" 2022-01-18', 17), ('java version "1.8.0_301"', 8), ("none", None)],
)
def test_versions_of_java(monkeypatch, tmp_path, answer, major):
    program = tmp_path / "java"
    program.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
    program.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert paths._java_version() == major


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examine(tmp_path)
    assert not list(tmp_path.iterdir())
