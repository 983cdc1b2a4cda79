"""Names that other frameworks use, and what they are called here.

Of RecBole, RecTools, RePlay, lightning-hydra-template and the Trainer of Hugging Face. The messages
about unknown keys and a page of the reference read this table; a test compares it with the configs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Habit:
    """What a name of another framework is called here.

    Attributes:
        key: key or group of the lab that takes the value; empty if none does.
        use: overrides to give instead, complete; empty if `key` says it.
        note: what else is different.
    """

    key: str = ""
    use: str = ""
    note: str = ""


_DEVICE = Habit(
    "recipe.accelerator",
    note="CUDA_VISIBLE_DEVICES, an environment variable, is which; recipe.devices is how many",
)
_PROCESSES = Habit("recipe.devices")
_LOADERS = Habit(note="batches are cut from memory-mapped arrays, without worker processes")
_EVALUATION_BATCH = Habit("evaluation.score_mib", note="users are ranked in batches of this memory")
_CHECKPOINTS = Habit(note="the best epoch's weights and a checkpoint are always kept")
_TRACKERS = Habit("tracking")
_PROTOCOL = Habit(
    "split", note="split= holds events out, evaluation= ranks: full ranking is the default"
)
_SEED = Habit("seed", note="every run is seeded")
_ALWAYS_TESTED = Habit(note="train ends with the test of the best epoch; prepare only prepares")

HABITS: Mapping[str, Habit] = {
    # Training
    "lr": Habit("recipe.learning_rate"),
    "learning_rate": Habit("recipe.learning_rate"),
    "epochs": Habit("recipe.max_epochs"),
    "num_epochs": Habit("recipe.max_epochs"),
    "n_epochs": Habit("recipe.max_epochs"),
    "max_epochs": Habit("recipe.max_epochs"),
    "num_train_epochs": Habit("recipe.max_epochs"),
    "max_steps": Habit("recipe.max_steps"),
    "limit_train_batches": Habit("recipe.max_steps", note="a number of steps in all"),
    "limit_val_batches": Habit("recipe.validation_users", note="a number of users, not of batches"),
    "limit_test_batches": Habit("filter.sample_users", note="a number of users of the data"),
    "batch_size": Habit("recipe.batch_size", note="histories of a batch"),
    "train_batch_size": Habit("recipe.batch_size"),
    "per_device_train_batch_size": Habit("recipe.batch_size"),
    "eval_batch_size": _EVALUATION_BATCH,
    "per_device_eval_batch_size": _EVALUATION_BATCH,
    "recommend_batch_size": _EVALUATION_BATCH,
    "optimizer": Habit("recipe.optimizer"),
    "optim": Habit("recipe.optimizer"),
    "learner": Habit("recipe.optimizer"),
    "weight_decay": Habit("recipe.weight_decay"),
    "betas": Habit("recipe.beta1", note="and recipe.beta2"),
    "scheduler": Habit("recipe.schedule"),
    "lr_scheduler": Habit("recipe.schedule"),
    "lr_scheduler_type": Habit("recipe.schedule"),
    "warmup_steps": Habit("recipe.warmup_steps"),
    "warmup_ratio": Habit("recipe.warmup_steps", note="a number of steps"),
    "gradient_clip_val": Habit("recipe.gradient_clip"),
    "max_grad_norm": Habit("recipe.gradient_clip"),
    "clip_grad_norm": Habit("recipe.gradient_clip", note="the largest norm, a number"),
    "accumulate_grad_batches": Habit("recipe.accumulate_grad_batches"),
    "gradient_accumulation_steps": Habit("recipe.accumulate_grad_batches"),
    "check_val_every_n_epoch": Habit("recipe.validate_every_epochs"),
    "eval_step": Habit("recipe.validate_every_epochs"),
    "eval_strategy": Habit("recipe.validate_every_epochs", note="a number of epochs"),
    "evaluation_strategy": Habit("recipe.validate_every_epochs", note="a number of epochs"),
    "precision": Habit("recipe.precision"),
    "fp16": Habit(use="recipe.precision=16-mixed"),
    "bf16": Habit(use="recipe.precision=bf16-mixed"),
    "enable_amp": Habit("recipe.precision", note="auto: bf16-mixed on a GPU that supports it"),
    "torch_compile": Habit("recipe.compile"),
    "compile": Habit("recipe.compile"),
    "patience": Habit("recipe.patience", note="epochs without a better validation"),
    "early_stopping": Habit("recipe.patience"),
    "early_stopping_patience": Habit("recipe.patience"),
    "stopping_step": Habit("recipe.patience"),
    "monitor": Habit("recipe.monitor", note="a validation metric"),
    "valid_metric": Habit("recipe.monitor", note="a validation metric"),
    "metric_for_best_model": Habit("recipe.monitor", note="a validation metric"),
    "optimized_metric": Habit("sweep.objectives", note="of recsys-lab sweep, e.g. [val/ndcg@10]"),
    "save_steps": Habit("recipe.checkpoint_every_steps"),
    "every_n_train_steps": Habit("recipe.checkpoint_every_steps"),
    "overfit_batches": Habit(use="debug=overfit"),
    "fast_dev_run": Habit(use="debug=fast"),
    "num_sanity_val_steps": Habit(use="debug=fast", note="a smoke test of the whole pipeline"),
    # Machine
    "accelerator": _DEVICE,
    "device": _DEVICE,
    "devices": _PROCESSES,
    "num_gpus": _PROCESSES,
    "world_size": _PROCESSES,
    "nproc_per_node": _PROCESSES,
    "gpu": _DEVICE,
    "gpus": _DEVICE,
    "gpu_id": _DEVICE,
    "use_gpu": _DEVICE,
    "no_cuda": Habit(use="recipe.accelerator=cpu"),
    "num_workers": _LOADERS,
    "worker": _LOADERS,
    "dataloader_num_workers": _LOADERS,
    "pin_memory": _LOADERS,
    "random_state": _SEED,
    "reproducibility": _SEED,
    "deterministic": _SEED,
    # Groups of lightning-hydra-template
    "trainer": Habit("recipe", note="Lightning's Trainer is set up by the group recipe"),
    "datamodule": Habit("data"),
    "logger": _TRACKERS,
    "callbacks": Habit(
        use="recipe.patience=10 recipe.monitor=val/ndcg@10",
        note="early stopping, checkpoints and progress are built in, set by the group recipe",
    ),
    "model_checkpoint": _CHECKPOINTS,
    "hparams_search": Habit("search", note="of recsys-lab sweep"),
    "sweep.dir": Habit("run_dir", note="also of the jobs of --multirun"),
    "paths": Habit("run_dir", note="and prepared_dir for prepared data"),
    "data_dir": Habit("prepared_dir", note="and data.path for the raw files"),
    "log_dir": Habit("run_dir"),
    "task_name": Habit("name"),
    "train": _ALWAYS_TESTED,
    "test": _ALWAYS_TESTED,
    "extras": Habit("tags"),
    # Where a run goes, and where it comes from
    "output_dir": Habit("run_dir"),
    "save_dir": Habit("run_dir"),
    "checkpoint_dir": Habit("run_dir"),
    "run_name": Habit("name"),
    "experiment_name": Habit("name"),
    "ckpt_path": Habit(
        "init_from",
        note="RUN_DIR, for new runs from its weights; resume=RUN_DIR continues a run, and "
        "recsys-lab evaluate RUN_DIR tests it again",
    ),
    "model_file": Habit("init_from", note="RUN_DIR; recsys-lab evaluate RUN_DIR tests it again"),
    "resume_from_checkpoint": Habit("resume", note="RUN_DIR, or auto"),
    "load_best_model_at_end": _CHECKPOINTS,
    "saved": _CHECKPOINTS,
    "report_to": _TRACKERS,
    "wandb": Habit(use="tracking=wandb"),
    "use_wandb": Habit(use="tracking=wandb"),
    "log_wandb": Habit(use="tracking=wandb"),
    "mlflow": Habit(use="tracking=mlflow"),
    "tensorboard": Habit(use="tracking=tensorboard"),
    "project": Habit("tracking.project"),
    "wandb_project": Habit("tracking.project"),
    "entity": Habit("tracking.entity"),
    # Data
    "dataset": Habit("data", note="recsys-lab datasets lists them"),
    "data_path": Habit("data.path", note="with data=table, or data=recbole for atomic files"),
    "user_id_field": Habit(use="data=recbole data.user_field=user_id"),
    "item_id_field": Habit(use="data=recbole data.item_field=item_id"),
    "time_field": Habit(use="data=recbole data.time_field=timestamp"),
    "field_separator": Habit(use="data=table data.separator=';'"),
    "user_inter_num_interval": Habit("filter.min_user_count", note="a number"),
    "item_inter_num_interval": Habit("filter.min_item_count", note="a number"),
    "min_user_interactions": Habit("filter.min_user_count"),
    "min_item_interactions": Habit("filter.min_item_count"),
    "train_min_user_interactions": Habit("filter.min_user_count"),
    "rm_dup_inter": Habit("filter.drop_duplicates", note="true or false"),
    "val_interval": Habit("filter.min_rating", note="or filter.start and filter.end"),
    # Evaluation
    "eval_args": _PROTOCOL,
    "eval_setting": _PROTOCOL,
    "leave_one_out": Habit(use="split=leave_one_out"),
    "metrics": Habit("evaluation.metrics", note="e.g. [ndcg,hr]"),
    "metric": Habit("evaluation.metrics", note="e.g. [ndcg,hr]"),
    "topk": Habit("evaluation.ks", note="e.g. [5,10]"),
    "top_k": Habit("evaluation.ks", note="e.g. [5,10]"),
    "repeatable": Habit("evaluation.exclude_seen", note="the opposite: false lists seen items"),
    "filter_viewed": Habit("evaluation.exclude_seen"),
    "filter_seen_items": Habit("evaluation.exclude_seen"),
    # Models
    "hidden_size": Habit("model.hidden_dim"),
    "embedding_size": Habit("model.hidden_dim"),
    "embedding_dim": Habit("model.hidden_dim"),
    "n_factors": Habit("model.hidden_dim"),
    "hidden_units": Habit("model.hidden_dim"),
    "n_layers": Habit("model.num_layers"),
    "n_blocks": Habit("model.num_layers"),
    "num_blocks": Habit("model.num_layers"),
    "block_count": Habit("model.num_layers"),
    "n_heads": Habit("model.num_heads"),
    "head_count": Habit("model.num_heads"),
    "inner_size": Habit("model.feedforward_dim"),
    "hidden_act": Habit("model.activation"),
    "dropout": Habit("model.dropout"),
    "dropout_rate": Habit("model.dropout"),
    "dropout_prob": Habit("model.dropout"),
    "hidden_dropout_prob": Habit("model.dropout"),
    "attn_dropout_prob": Habit("model.attention_dropout"),
    "max_item_list_length": Habit("model.max_length"),
    "session_max_len": Habit("model.max_length"),
    "max_seq_len": Habit("model.max_length"),
    "max_seq_length": Habit("model.max_length"),
    "max_len": Habit("model.max_length"),
    "mask_ratio": Habit(use="model=bert4rec model.mask_probability=0.2"),
    "mask_prob": Habit(use="model=bert4rec model.mask_probability=0.2"),
    # Losses
    "loss_type": Habit("loss"),
    "criterion": Habit("loss"),
    "train_neg_sample_args": Habit(use="loss=bce loss.sampling=uniform loss.num_negatives=1"),
    "n_negatives": Habit(use="loss=sampled_softmax loss.num_negatives=256"),
    "num_negatives": Habit(use="loss=sampled_softmax loss.num_negatives=256"),
    "n_negative_samples": Habit(use="loss=sampled_softmax loss.num_negatives=256"),
    "negatives_sharing": Habit(use="loss=sampled_softmax loss.shared_negatives=true"),
}
"""Name elsewhere, in lower case, without the groups that it is in -> `Habit`."""


def habits_of(path: str) -> Iterator[Habit]:
    """What a key may mean, best first.

    Its last part with as many groups as the table has, then the groups: ``trainer.max_epochs``
    means ``max_epochs``, ``callbacks.rich_progress_bar`` means ``callbacks``.

    Args:
        path: dotted key as it was typed.
    """
    parts = path.lower().lstrip("-").replace("-", "_").split(".")
    names = [".".join(parts[start:]) for start in range(len(parts))]
    names += parts[-2::-1]
    for name in dict.fromkeys(names):
        if name in HABITS:
            yield HABITS[name]
