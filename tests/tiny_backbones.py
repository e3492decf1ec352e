"""Tiny backbones that the tests make: graphs from pictures to features, with their descriptions."""

from pathlib import Path

import onnx
import yaml
from onnx import TensorProto, helper

from helpers.pipeline.paths import BACKBONES

SIZE = 16


def tiny_graph(*, channels: int = 3, operator: str = "", output: str = "features", flat: bool = True) -> bytes:
    """A graph that averages each quarter of a picture of 16 x 16, and may pass that through another operator."""
    nodes = [helper.make_node("AveragePool", ["pictures"], ["quarters"], kernel_shape=[8, 8], strides=[8, 8])]
    last = "quarters"
    if operator:
        nodes.append(helper.make_node(operator, [last], ["changed"]))
        last = "changed"
    if flat:
        nodes.append(helper.make_node("Flatten", [last], [output]))
    else:
        nodes.append(helper.make_node("Identity", [last], [output]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["N", channels, SIZE, SIZE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def write_backbone(root: Path, graph: bytes | None = None, name: str = "tiny", **about: object) -> str:
    """Write a backbone with its description into a workspace, and return the setting that names it."""
    described = {"image_size": SIZE, "mean": [120.0, 110.0, 100.0], "scale": 128.0, "output": "features"} | about
    (root / BACKBONES).mkdir(exist_ok=True)
    (root / BACKBONES / f"{name}.yaml").write_text(yaml.safe_dump({"backbone": described}))
    (root / BACKBONES / f"{name}.onnx").write_bytes(tiny_graph() if graph is None else graph)
    return f"{BACKBONES}/{name}.onnx"


def keep_data_elsewhere(graph: bytes) -> bytes:
    """The graph with a tensor that lies in another file."""
    model = onnx.load_model_from_string(graph)
    tensor = model.graph.initializer.add(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    return bytes(model.SerializeToString())
