"""The wheel works without the repository: its configs travel with it."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf

REPOSITORY = Path(__file__).parents[1]
MISSING = [name for name in ("build", "hatchling") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The unpacked wheel, built from the checkout without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "-w", "--no-isolation", "--outdir", folder, REPOSITORY],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def lab(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "recsys_lab", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob(pattern)}


def test_every_config_and_module_is_in_the_wheel(installed):
    configs = contents(REPOSITORY / "configs", "*.yaml")
    assert contents(installed / "recsys_lab" / "configs", "*.yaml") == configs
    assert "train.yaml" in configs
    for kind in ("*.py", "*.html", "*.css", "*.js"):
        files = contents(REPOSITORY / "src" / "recsys_lab", kind)
        assert contents(installed / "recsys_lab", kind) == files
    assert (installed / "recsys_lab" / "configs").is_dir()
    assert not (installed / "tests").exists()


def test_the_wheel_is_licensed_and_gives_the_command(installed):
    [information] = installed.glob("*.dist-info")
    assert "recsys-lab = recsys_lab.cli.main:main" in (information / "entry_points.txt").read_text()
    assert "License-Expression: Apache-2.0" in (information / "METADATA").read_text()
    assert any(information.rglob("LICENSE"))


def test_the_configs_in_the_wheel_are_those_that_are_used(installed, tmp_path):
    changed = installed / "recsys_lab" / "configs" / "recipe" / "default.yaml"
    before = changed.read_text()
    changed.write_text(before.replace("batch_size: 128", "batch_size: 77"))
    try:
        done = lab(installed, tmp_path, "train", "--cfg", "job")
    finally:
        changed.write_text(before)
    assert done.returncode == 0, done.stderr
    config = OmegaConf.create(done.stdout)
    assert config.recipe.batch_size == 77
    assert config.model._target_ == "recsys_lab.models.sequential.sasrec.SASRec"
    assert list(tmp_path.iterdir()) == []
