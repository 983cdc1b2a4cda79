"""What every trainable model must keep, parametrized over configs/model/*.yaml."""

from dataclasses import replace
from functools import cache

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from recsys_lab.config import UserError, build, config_dir
from recsys_lab.contracts import Batch, MakesLoss, traits

V, B, LENGTHS = 40, 4, (6, 2, 9, 4)
SMALL = {"hidden_dim": 16, "max_length": 9, "feedforward_dim": 32, "recurrent_dim": 24}
DROPOUTS = ("dropout", "attention_dropout", "feedforward_dropout")


@cache
def options(name: str) -> dict:
    values = yaml.safe_load((config_dir() / "model" / f"{name}.yaml").read_text())
    values.pop("defaults", None)  # choices of other groups
    return {k: v if v is None else SMALL.get(k, v) for k, v in values.items()}


def make(name: str, **changes) -> nn.Module:
    torch.manual_seed(0)
    return build({**options(name), **changes}, num_items=V)


def trainable_names() -> list[str]:
    found = []
    for path in sorted((config_dir() / "model").glob("*.yaml")):
        model = make(path.stem)
        if isinstance(model, nn.Module) and not isinstance(model, MakesLoss):
            found.append(path.stem)
    return found


NAMES = trainable_names()
CLOZE = ("bert4rec",)  # their supervised positions are drawn: see their own tests
ONE_TARGET = [name for name in NAMES if getattr(make(name), "one_target", False)]
CAUSAL_NAMES = [name for name in NAMES if name not in (*CLOZE, *ONE_TARGET)]
VARIANTS = [(name, {}) for name in CAUSAL_NAMES] + [
    ("sasrec", {"norm": "post", "final_norm": False, "activation": "relu", "feedforward_dim": 16}),
    ("gsasrec", {"position_origin": "start", "num_heads": 2}),
    ("esasrec", {"position_origin": "start"}),
    ("sasrec", {"position_origin": "end", "scale_embedding": True}),
    ("sasrec", {"num_heads": 4, "num_layers": 1, "tied": False}),
    ("hstu", {"time_bias": "past"}),
    ("gru4rec", {"num_layers": 2}),
]

NOT_COMPILED = ("gru4rec", "mamba")  # a fused kernel; a scan

# Positions that count from the end read the history's length by design.
CAUSAL = [v for v in VARIANTS if {**options(v[0]), **v[1]}.get("position_origin") != "end"]


def batch_of(histories: list[list[int]]) -> Batch:
    """A batch in which events are ever further apart in time."""
    lengths = [len(h) for h in histories]
    times = [10**9 + 1800 * place**2 for length in lengths for place in range(length)]
    return Batch(
        users_B=torch.arange(len(histories)),
        items_T=torch.tensor([i for h in histories for i in h]),
        offsets=torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()]),
        lengths=tuple(lengths),
        timestamps_T=torch.tensor(times),
    )


def histories(seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(V, (n,), generator=generator).tolist() for n in LENGTHS]


def test_every_model_config_is_built():
    assert "sasrec" in NAMES


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_shapes_and_targets(name, changes):
    model = make(name, **changes)
    given = histories()
    states_ND, targets_N = model.training_states(batch_of(given))
    assert targets_N.tolist() == [item for h in given for item in h[1:]]
    assert states_ND.shape == (sum(LENGTHS) - B, model.item_table().shape[1])
    assert model.query_states(batch_of(given)).shape == (B, states_ND.shape[1])
    assert model.item_table().shape[0] == V


@pytest.mark.parametrize(("name", "changes"), CAUSAL)
def test_future_changes_nothing_before(name, changes):
    model = make(name, **changes).eval()
    given = histories()
    before, _ = model.training_states(batch_of(given))
    given[2][6] = (given[2][6] + 1) % V
    after, _ = model.training_states(batch_of(given))
    start = (LENGTHS[0] - 1) + (LENGTHS[1] - 1)  # where the third history's states begin
    assert torch.equal(before[start : start + 6], after[start : start + 6])
    assert not torch.equal(before[start + 6 : start + 8], after[start + 6 : start + 8])


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_query_state_is_the_training_state_of_that_place(name, changes):
    """Validation and training see the same model: same input, same state."""
    model = make(name, **changes).eval()
    given = histories()
    states_ND, _ = model.training_states(batch_of([[*h, 0] for h in given[:2]]))
    query_BD = model.query_states(batch_of(given[:2]))
    torch.testing.assert_close(query_BD[0], states_ND[LENGTHS[0] - 1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(query_BD[1], states_ND[-1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_companions_in_the_batch_change_nothing(name, changes):
    """Longer companions mean padding inside the model: it must not reach real positions."""
    model = make(name, **changes).eval()
    given = histories()
    together = model.query_states(batch_of(given))
    for row, history in enumerate(given):
        alone = model.query_states(batch_of([history]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-5)
    states_ND, _ = model.training_states(batch_of(given))
    alone_ND, _ = model.training_states(batch_of([given[1]]))
    start = LENGTHS[0] - 1
    torch.testing.assert_close(states_ND[start : start + 1], alone_ND, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "changes"), [*VARIANTS, *((name, {}) for name in CLOZE)])
def test_times_are_needed_where_the_model_says_so_alone(name, changes):
    model = make(name, **changes).eval()
    timed = batch_of([history[-8:] for history in histories()])
    untimed = replace(timed, timestamps_T=None)
    if traits(model).reads_times:
        with pytest.raises(UserError, match="no timestamps"):
            model.query_states(untimed)
    else:
        assert torch.equal(model.query_states(timed), model.query_states(untimed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_empty_history_never_has_its_neighbour_s_state(name, place):
    """Refused, or the same whoever stands beside it."""
    model = make(name).eval()
    given = [[history[-8:] for history in histories(seed)][:3] for seed in (0, 1)]
    for rows in given:
        rows.insert(place, [])
    if name in CLOZE:  # their state is that of a hidden event, alone if need be
        one, two = (model.query_states(batch_of(rows)) for rows in given)
        torch.testing.assert_close(one[place], two[place], atol=1e-6, rtol=1e-5)
        return
    for ask in (model.query_states, lambda batch: model.recommend(batch, 5, None)):
        with pytest.raises(ValueError, match=rf"row {place} of a batch of 4 users has an empty"):
            ask(batch_of(given[0]))


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_overfits_one_batch_and_reaches_every_parameter(name, changes):
    model = make(name, **{k: 0.0 for k in DROPOUTS if k in options(name)}, **changes)
    batch = batch_of(histories())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(120):
        states_ND, targets_N = model.training_states(batch)
        loss = F.cross_entropy(states_ND @ model.item_table().T, targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 3
    assert losses[-1] < 0.3
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


def graphs_of(make_it, given, backend="inductor") -> list[int]:
    """Compare a compiled model with a plain one on four batches; graphs so far after each."""
    plain, compiled = make_it(), make_it()
    torch._dynamo.reset()  # after a few models of one kind it would no longer compile
    compiled.compile(dynamic=True, backend=backend)
    torch._dynamo.utils.counters.clear()
    graphs = []
    for seed in range(4):
        batch = batch_of(given(seed)[: 4 - seed % 2])
        states = []
        for model in (plain, compiled):
            torch.manual_seed(seed)  # the same events are hidden
            states.append(model.training_states(batch)[0])
        torch.testing.assert_close(states[1], states[0], atol=1e-5, rtol=1e-4)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    return graphs


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own code
@pytest.mark.parametrize("name", CAUSAL_NAMES)
def test_compiled_equals_plain_without_recompiling(name):
    """Batches of other sizes must not compile anew: that would cost more than it gives."""
    layers = {"num_layers": 1} if "num_layers" in options(name) else {}  # compiling takes seconds
    graphs = graphs_of(lambda: make(name, **layers).eval(), histories)
    assert graphs[0] >= (0 if name in NOT_COMPILED else 1)
    assert graphs[-1] == graphs[0]


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own code
@pytest.mark.parametrize(
    ("name", "changes"),
    [*((name, {}) for name in (*CLOZE, *ONE_TARGET)),
     ("hstu", {"time_bias": "past"}), ("hstu", {"time_bias": "target"})],
)  # fmt: skip
def test_compiled_equals_plain_and_compiles_at_most_twice(name, changes):
    """A second time where a size that was taken for fixed turns out to vary."""
    graphs = graphs_of(lambda: make(name, **changes).eval(), histories, "eager")
    assert graphs[0] >= 1
    assert graphs[-1] == graphs[1]


@pytest.mark.parametrize("name", NAMES)
def test_save_load_recommend(name, tmp_path):
    from safetensors.torch import load_file, save_file

    model = make(name).eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "m")
    torch.manual_seed(99)
    other = build(options(name), num_items=V)
    other.load_state_dict(load_file(tmp_path / "m"))
    other.eval()
    exclude = (torch.tensor([0, 0, 3]), torch.tensor([1, 2, 3]))
    with torch.inference_mode():
        given = batch_of([history[-model.window :] for history in histories()])
        mine = model.recommend(given, 5, exclude)
        theirs = other.recommend(given, 5, exclude)
    assert torch.equal(mine.items_BK, theirs.items_BK)
    assert not {1, 2} & set(mine.items_BK[0].tolist())


def test_gates_after_the_norm_are_refused():
    from recsys_lab.config import UserError

    with pytest.raises(UserError, match=r"model\.gated: got true with model\.norm=post"):
        make("esasrec", norm="post")
    with pytest.raises(UserError, match=r"model\.gated: got true with model\.norm=query"):
        make("esasrec", norm="query")


def test_lists_are_ranked_by_cosine_where_the_loss_trains_cosines():
    model = make("sasrec").eval()
    given, everything = batch_of(histories()), V
    with torch.inference_mode():
        cosines = F.cosine_similarity(
            model.query_states(given).unsqueeze(1), model.item_table().unsqueeze(0), dim=2
        )
        by_product = model.recommend(given, everything, None).items_BK
        model.cosine = True
        by_cosine = model.recommend(given, everything, None).items_BK
    assert torch.equal(by_cosine, cosines.argsort(1, descending=True))
    assert not torch.equal(by_cosine, by_product)


def test_heads_that_do_not_divide_the_width_are_refused():
    from recsys_lab.config import UserError

    with pytest.raises(UserError, match="hidden_dim: got 16, which 3 heads cannot share"):
        make("sasrec", num_heads=3)
