"""A run with a language model: end to end, its files, and a changed language model."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from recsys_lab.cli.main import run_command
from tests.cli.flow import in_shop
from tests.models.generative.language_models import language_model


def train(folder, run_dir):
    return run_command([
        "train", "data=table", "data.path=log.csv", "model=lc_rec", f"model.pretrained={folder}",
        "model.text=null", "model.max_length=3", "recipe.max_epochs=1", "recipe.batch_size=128",
        "semantic_ids=random", "semantic_ids.codes=4", "tracking=none", "decoding.num_beams=30",
        "evaluation.beyond_accuracy=[]", f"run_dir={run_dir}",
    ])  # fmt: skip


def test_a_whole_run(tmp_path, monkeypatch, capsys):
    with in_shop(tmp_path, monkeypatch):
        _whole_run(capsys)


def _whole_run(capsys):
    folder = Path(language_model(Path("lm"), "gpt2"))
    sampling = {"do_sample": True, "temperature": 9.0, "num_beams": 2, "max_new_tokens": 1}
    (folder / "generation_config.json").write_text(json.dumps(sampling))
    assert train(folder, "run") == 0
    weights = load_file("run/checkpoints/best.safetensors")
    kinds = {name.partition(".")[0] for name in weights if "lora_" not in name}
    assert kinds == {"code_inputs"}
    (folder / "generation_config.json").unlink()
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    base = load_file(folder / "model.safetensors")
    name = next(name for name in base if name.endswith("ln_f.weight"))
    base[name][0] += 1
    save_file(base, folder / "model.safetensors", metadata={"format": "pt"})
    assert run_command(["evaluate", "run"]) == 2
    said = capsys.readouterr().err
    assert "run: the language model has changed since the run began (digest " in said
    assert run_command(["train", "resume=run", "recipe.max_epochs=3"]) == 2
    assert "the language model has changed since the run began" in capsys.readouterr().err
