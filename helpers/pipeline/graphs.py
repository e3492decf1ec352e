"""ONNX graphs: check those that came from outside, and run them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}  # of the operators in the ONNX standard


def check_graph(graph: bytes) -> None:
    """See that an ONNX graph is complete and has standard operators alone; a ValueError names the fault.

    onnxruntime itself would read tensors from files that a graph names, and has operators of its own.
    """
    import onnx  # takes 0.1 s

    for message in _parts(onnx.load_model_from_string(graph)):
        if isinstance(message, onnx.NodeProto) and message.domain not in DOMAINS:
            raise ValueError(f"an operator outside the ONNX standard: {message.domain}.{message.op_type}")
        if isinstance(message, onnx.TensorProto) and message.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("data in another file")


def _parts(message: Any) -> Iterator[Any]:
    """A protobuf message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type:
            for part in value if field.is_repeated else [value]:
                yield from _parts(part)


def run_graph(graph: bytes, inputs: np.ndarray, output: str = "") -> np.ndarray:
    """Give an ONNX graph its only input, and return its output of that name, or its first one."""
    session = _open(graph)
    return session.run([output] if output else None, {session.get_inputs()[0].name: inputs})[0]


@lru_cache(maxsize=4)  # backbone and network of the old and of the new model
def _open(graph: bytes) -> Any:
    import onnxruntime  # type: ignore[import-untyped]  # takes 0.2 s, and only predicting needs it

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors, which are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
