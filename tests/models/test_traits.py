"""What a model must have and may state; the defaults of one that states nothing."""

import numpy as np
import pytest
from torch import nn

from recsys_lab.config import UserError
from recsys_lab.contracts import FittedModel, check_model, traits


class Plain(nn.Module):
    """A model of somebody's own with what is required, and no base class of the lab."""

    window = 7

    def recommend(self, batch, k, exclude):
        raise NotImplementedError

    def training_states(self, batch):
        raise NotImplementedError

    def item_table(self):
        raise NotImplementedError


class Fitted:
    """The same, fitted in one pass, that reads whole histories."""

    window = None

    def recommend(self, batch, k, exclude):
        raise NotImplementedError

    def fit(self, data):
        raise NotImplementedError

    def arrays(self):
        return {"counts": np.zeros(1)}

    def load_arrays(self, arrays, data):
        raise NotImplementedError


def without(cls: type, *names: str) -> object:
    """An object of the class without some of its attributes."""
    kept = {name: value for name, value in vars(cls).items() if name not in names}
    kept.pop("__dict__", None)
    kept.pop("__weakref__", None)
    return type(cls.__name__, cls.__bases__, kept)()


def test_what_is_not_stated_has_defaults():
    stated = traits(Plain())
    assert stated.window == 7
    assert list(stated.features) == []
    assert (stated.one_target, stated.reads_next_time, stated.ignores_seed) == (False,) * 3
    assert stated.mask_probability == 1
    assert (stated.cosine, stated.items, stated.blocks) == (None,) * 3


def test_what_is_stated_is_read_from_class_and_object():
    class Own(Plain):
        one_target = True

    model = Own()
    model.features = ("event.price",)
    model.items = nn.Embedding(3, 2)
    stated = traits(model)
    assert stated.one_target
    assert stated.features == ("event.price",)
    assert stated.items is model.items
    assert traits(Own).one_target  # of a class, too


@pytest.mark.parametrize("model", [Plain(), Fitted()])
def test_what_is_required_is_enough(model):
    check_model(model)


def test_a_trained_model_that_lacks_something_is_refused_with_the_table():
    with pytest.raises(UserError) as caught:
        check_model(without(Plain, "recommend", "window"))
    first, *table = str(caught.value).splitlines()
    assert first.endswith("Plain lacks window, recommend(batch, k, exclude). What is needed:")
    marked = [line.split()[1] for line in table if "->" in line]
    assert marked == ["window", "recommend(batch,"]
    shown = "\n".join(table)
    for what in ("training_states(batch)", "item_table()", "fit(data)", "arrays()", "load_arrays"):
        assert what in shown


def test_an_object_that_is_neither_trained_nor_fitted_is_refused():
    model = without(Fitted, "load_arrays")
    assert not isinstance(model, FittedModel)
    with pytest.raises(UserError, match=r"Fitted lacks load_arrays\(arrays, data\)"):
        check_model(model)
    with pytest.raises(UserError, match=r"lacks window, recommend.*fit\(data\)"):
        check_model(object())


def test_a_trained_model_reads_a_number_of_events():
    model = Plain()
    for window in (None, "5", 0, 2.5):
        model.window = window
        with pytest.raises(
            UserError, match=rf"Plain: window is {window!r}, expected a whole number"
        ):
            check_model(model)
