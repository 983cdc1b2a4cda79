"""A `Program` as a torch.export program and as ONNX graphs.

Shapes: B users, L events, S seen items.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from recsys_lab.config import UserError, first_line
from recsys_lab.deploy.export import recurrent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recsys_lab.deploy.export.program import Program

OPSET = 18
"""The oldest with all operators of the graph, so that most runtimes read it."""
INPUTS = ("items", "seen", "users", "timestamps")
OUTPUTS = ("item_indices", "scores")


def traced(program: Program, *, reads_times: bool) -> torch.export.ExportedProgram:
    """The program with a symbolic batch, history length and number of seen items.

    Args:
        program: in evaluation mode; recurrent layers are replaced in place.
        reads_times: whether it has the input ``timestamps``.

    Raises:
        UserError: the model does things that cannot be traced.
    """
    model: Any = program.model
    for name, module in list(model.named_children()):
        if isinstance(module, nn.GRU):
            setattr(model, name, recurrent.RecurrentLayers(module))
    # Sizes of at least 2: tracing takes a size of 1 for a constant.
    batch, window = torch.export.Dim("batch", min=1), model.window
    length = torch.export.Dim("length", min=1, max=window) if window > 1 else None
    items_BL = torch.zeros(3, max(1, min(window, 5)), dtype=torch.int64)
    events = {0: batch} if length is None else {0: batch, 1: length}
    inputs = [items_BL, torch.zeros(3, 4, dtype=torch.int64), torch.arange(3)]
    shapes: list[dict[int, Any]] = [events, {0: batch, 1: torch.export.Dim("seen")}, {0: batch}]
    if reads_times:
        inputs.append(torch.zeros_like(items_BL))
        shapes.append(events)
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(program, tuple(inputs), dynamic_shapes=tuple(shapes))
    except Exception as error:  # tracing fails with many types
        raise UserError(
            f"{type(model).__name__} cannot be exported: its code cannot be traced for histories "
            f"of any length ({first_line(error)}). Make lists with recsys-lab recommend, or serve "
            "the run itself with recsys-lab serve"
        ) from error


def write_program(graph: torch.export.ExportedProgram, path: Path) -> None:
    """Write a torch.export program, without its pickled example.

    Raises:
        UserError: it has an operator of the lab.
    """
    modules = [m for m in graph.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    nodes = [node for module in modules for node in module.graph.nodes]
    if any(str(node.target).startswith(recurrent.NAMESPACE) for node in nodes):
        raise UserError(
            "program: got true, but torch.export has no recurrent layers for histories of any "
            "length, so the program would need the lab; use program=false: the ONNX graph has them"
        )
    for node in nodes:  # these name files of this machine
        node.meta.pop("stack_trace", None)
    graph.example_inputs = None
    torch.export.save(graph, path)


def write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a traced program as an ONNX graph.

    Raises:
        UserError: an operation has no translation.
    """
    table: dict[Any, Any] = {
        torch.ops.aten.sort.stable: _stable_sort,
        torch.ops.recsys_lab.gru.default: recurrent.to_onnx,
    }
    number = len(program.graph_signature.user_inputs)
    try:
        with _quiet():
            graph = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=INPUTS[:number],
                output_names=OUTPUTS,
                custom_translation_table=table,
                verbose=False,
            )
            assert graph is not None
            _without_traces(graph.model)
            graph.save(path)
    except OSError:
        raise
    except Exception as error:  # translation fails with many types
        raise UserError(
            f"the model cannot be exported: an operation has no ONNX form ({first_line(error)}). "
            "Make lists with recsys-lab recommend, or serve the run itself with recsys-lab serve"
        ) from error


def write_int8(graph: Path, path: Path) -> None:
    """Write a copy of a graph whose matrices have 8-bit weights (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(graph, path, weight_type=QuantType.QInt8)


def _without_traces(model: Any) -> None:
    """Remove the exporter's notes from a graph: they name files of this machine."""
    parts = [model, model.graph, *model.functions.values(), *model.graph.all_nodes()]
    for function in model.functions.values():
        parts += function.all_nodes()
    for part in parts:
        part.metadata_props.clear()
        part.doc_string = None
        for value in (*getattr(part, "inputs", ()), *getattr(part, "outputs", ())):
            if value is not None:
                value.metadata_props.clear()


def _stable_sort(values: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """ONNX sorts equal values by their index, so that its TopK of all is a stable sort."""
    from onnxscript import opset18

    op: Any = opset18
    del stable
    size = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]), axis=0)
    return op.TopK(values, size, axis=dim, largest=int(descending), sorted=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks about their own deprecations and missing packages."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    ]
    root, levels = logging.getLogger(), [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        root.addFilter(_is_own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_is_own)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_own(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or record.name != "root"
