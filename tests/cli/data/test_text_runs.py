"""Runs with item texts: where vectors are kept, and evaluation without the encoder."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.models.inputs import text_vectors as encoding


def encode(texts, **_):
    """A vector for each text, the same whenever it is asked for."""
    return np.stack([np.random.default_rng(list(t.encode())).normal(size=12) for t in texts])


def flip(file: str) -> None:
    """Change one bit of a vector."""
    content = bytearray(Path(file).read_bytes())
    content[len(content) // 2] ^= 1
    Path(file).write_bytes(content)


@pytest.mark.parametrize("use", ["projected", "initial", "frozen"])
def test_a_finished_run_needs_no_encoder(use, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encoding, "_load", lambda *_: SimpleNamespace(encode=encode))
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text("{}")
    fixed = ["inputs.id_dropout=0"] if use == "initial" else []
    assert run_command([
        "train", "data.num_users=60", "data.num_items=30", "recipe.max_epochs=1", "tracking=none",
        "model.hidden_dim=8", "model.num_layers=1", "model.max_length=6", "inputs=text",
        f"inputs.encoder={encoder}", f"inputs.text_mode={use}", *fixed,
        "prepared_dir=elsewhere", "run_dir=run",
    ]) == 0  # fmt: skip
    assert len(list(Path("elsewhere/text_vectors").glob("*.npy"))) == 1
    assert not Path("prepared").exists()
    config = json.loads(Path("run/run.json").read_text())["config"]
    assert config["inputs"]["cache_dir"] == "elsewhere/text_vectors"
    vectors = np.load("run/text_vectors.npy")
    hashed = hashlib.sha256(vectors.tobytes()).hexdigest()[:8]
    assert json.loads(Path("run/run.json").read_text())["identity"]["text_vectors"] == hashed

    def refuse(*_):
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(encoding, "_load", refuse)
    shutil.rmtree(encoder)
    shutil.rmtree("elsewhere/text_vectors")
    capsys.readouterr()
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    flip("run/text_vectors.npy")
    assert run_command(["evaluate", "run"]) == 2
    assert "run/text_vectors.npy is damaged" in capsys.readouterr().err
    Path("run/text_vectors.npy").unlink()
    assert run_command(["evaluate", "run"]) != 0
    assert "there is no such folder" in capsys.readouterr().err
