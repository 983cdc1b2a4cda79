"""How many weights a model has, against closed forms."""

import pytest

from tests.models.test_contracts import V, make


def test_sasrec_parameter_count_equals_the_closed_form():
    model = make("sasrec", num_layers=3)
    d, f, length = 16, 32, 9
    block = (3 * d * d + 3 * d) + (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    assert sum(p.numel() for p in model.parameters()) == V * d + length * d + 3 * block + 2 * d


def test_gated_blocks_add_two_square_layers_and_an_untied_table_one_more_table():
    def count(name, **changes):
        return sum(p.numel() for p in make(name, **changes).parameters())

    d, f = 16, 32
    plain = {"num_layers": 1, "num_heads": 1, "final_norm": True}
    gates, swiglu = 2 * (d * d + d), 3 * d * f - (2 * d * f + d + f)
    assert count("esasrec", **plain) - count("sasrec", **plain) == gates + swiglu
    assert count("gsasrec", **plain) - count("gsasrec", **plain, tied=True) == V * d


@pytest.mark.parametrize(("name", "tables"), [("gsasrec", 2), ("esasrec", 1)])
def test_parameter_count_of_sasrec_s_other_forms_equals_the_closed_form(name, tables):
    model = make(name, num_layers=3)
    d, f, length = 16, 32, 9
    if name == "gsasrec":  # no layer after attention, a norm at the end
        fed, others, last = (d * f + f) + (f * d + d), 0, 2 * d
    else:
        fed, others, last = 3 * d * f, (d * d + d) + 2 * (d * d + d), 0
    block = (3 * d * d + 3 * d) + fed + others + 4 * d
    total = tables * V * d + length * d + 3 * block + last
    assert sum(p.numel() for p in model.parameters()) == total


def test_mamba_parameter_count_equals_the_closed_form():
    model = make("mamba", num_layers=3)
    d, state, kernel = 16, 16, 4
    inner, rank = 2 * d, 1  # rank of the step: d / 16
    selects = inner * (rank + 2 * state) + rank * inner + inner
    block = d + d * 2 * inner + inner * (kernel + 1) + selects + inner * state + inner + inner * d
    assert sum(p.numel() for p in model.parameters()) == V * d + 3 * block + d


def test_hstu_parameter_count_equals_the_closed_form():
    model = make("hstu", num_layers=3, time_bias="past")
    d, length = 16, 9
    unit = 4 * d * d + (d * d + d) + length + 129
    assert sum(p.numel() for p in model.parameters()) == V * d + length * d + 3 * unit


def test_gru4rec_parameter_count_equals_the_closed_form():
    model = make("gru4rec", num_layers=2)
    d, r = 16, 24
    first, second = 3 * r * (d + r) + 6 * r, 3 * r * (r + r) + 6 * r
    assert sum(p.numel() for p in model.parameters()) == V * d + first + second + r * d + d
