"""Converts the models to ONNX as ONNX Runtime works through them the fastest.

The encoder is dlib's `dlib_face_recognition_resnet_model_v1` (29 convolutions, public domain), a ResNet whose batch
normalisation is stored as one affine map a channel. Its file is dlib's own serialisation: each tensor is a header
(the integers 2, samples, channels, rows, columns, each as a length byte and little-endian bytes) and then raw
little-endian floats. The tensors come in the network's order, so a reader that knows the next tensor's shape finds it
by its header. The affine maps are folded into the convolutions' weights.

YuNet is ONNX already, for one size of BGR images and with twelve narrow heads. See detector_graph.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from face_app.engine.alignment import CHIP_SIZE
from face_app.engine.weights import DETECTOR, MODEL, STRIDES

Floats = NDArray[np.float32]

_MEAN_RGB = np.array([122.782, 117.001, 104.298], dtype=np.float32)  # dlib's input_rgb_image
_STAGES = ((32, 3, False), (64, 3, True), (128, 2, True), (256, 2, True), (256, 0, True))
"""(channels, plain blocks, whether a halving block comes first) from input to output."""
_HEADS = ("cls", "obj", "bbox", "kps")
"""The detector's heads on each map, with 1, 1, 4 and 10 channels."""


def save(name: str, source: bytes, target: Path) -> None:
    """Convert the model of this name and write it."""
    convert = {MODEL: encoder_graph, DETECTOR: detector_graph}[name]
    onnx.save(convert(source), target)


def encoder_graph(source: bytes) -> onnx.ModelProto:
    """Dlib's network: uint8 RGB chips (n, 150, 150, 3) -> encodings (n, 128)."""
    return _graph(_TensorReader(source))


class _TensorReader:
    """Reads dlib's tensors in the order of the file."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._position = 0

    def take(self, *shape: int) -> Floats:
        """The next tensor with this shape, flat; ValueError when there is none."""
        header = b"".join(_dlib_integer(number) for number in (2, *shape))
        found = self._source.find(header, self._position)
        if found < 0:
            raise ValueError(f"the model file has no tensor {shape}")
        count = int(np.prod(shape))
        self._position = found + len(header) + 4 * count
        return np.frombuffer(self._source, "<f4", count, found + len(header))

    def convolution(self, filters: int, channels: int, size: int) -> tuple[Floats, Floats]:
        """Weights (filters, channels, size, size) and biases of a convolution with its affine map folded in."""
        weights = filters * channels * size * size
        stored = self.take(weights + filters, 1, 1, 1)
        affine = self.take(2 * filters, 1, 1, 1)
        kernel, bias = stored[:weights].reshape(filters, channels, size, size), stored[weights:]
        gamma, beta = affine[:filters], affine[filters:]
        return kernel * gamma[:, None, None, None], bias * gamma + beta


def _dlib_integer(number: int) -> bytes:
    body = number.to_bytes((number.bit_length() + 7) // 8 or 1, "little")
    return bytes([len(body)]) + body


@dataclass
class _Graph:
    """ONNX nodes and constants under construction; each method adds one node and names its output."""

    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: object) -> str:
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def convolve(self, x: str, weights: tuple[Floats, Floats], stride: int, padding: int) -> str:
        kernel, bias = weights
        return self.node(
            "Conv",
            x,
            self.constant(kernel),
            self.constant(bias),
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            pads=[padding] * 4,
        )

    def pad(self, x: str, rows: int) -> str:
        """Zeros below and right of the map."""
        if not rows:
            return x
        amounts = np.array([0, 0, 0, 0, 0, 0, rows, rows], dtype=np.int64)
        return self.node("Pad", x, self.constant(amounts))


def _blocks() -> Iterator[tuple[int, bool]]:
    """(channels, halving) of each residual block, from input to output."""
    for channels, plain, halving_first in _STAGES:
        if halving_first:
            yield channels, True
        yield from ((channels, False) for _ in range(plain))


def _graph(reader: _TensorReader) -> onnx.ModelProto:
    """The network over RGB chips: uint8 (n, 150, 150, 3) -> float32 (n, 128)."""
    graph = _Graph([], [])
    x = graph.node("Cast", graph.node("Transpose", "chips", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    x = graph.node("Relu", graph.convolve(x, _normalising(reader.convolution(32, 3, 7)), stride=2, padding=0))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    channels, side = 32, 35  # 150 -> 72 by the convolution, 72 -> 35 by the pool
    for filters, halving in _blocks():
        first, second = reader.convolution(filters, channels, 3), reader.convolution(filters, filters, 3)
        x, side = _residual(graph, x, first, second, side=side, halving=halving)
        channels = filters
    flat = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    graph.node("MatMul", flat, graph.constant(reader.take(256, 128, 1, 1).reshape(256, 128)), output="encodings")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            MODEL,
            [helper.make_tensor_value_info("chips", TensorProto.UINT8, ["n", CHIP_SIZE, CHIP_SIZE, 3])],
            [helper.make_tensor_value_info("encodings", TensorProto.FLOAT, ["n", 128])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def _normalising(weights: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The first convolution over pixels as they are; dlib takes them less their mean, by 256. It has no padding."""
    kernel, bias = weights
    scaled = kernel.astype(np.float64) / 256
    shifted = bias - np.einsum("fchw,c->f", scaled, _MEAN_RGB.astype(np.float64))
    return scaled.astype(np.float32), shifted.astype(np.float32)


def _widening(channels: int, filters: int) -> tuple[Floats, Floats]:
    """A convolution that puts empty channels behind the ones there are.

    A padding would be the same, but ONNX Runtime keeps the channels in blocks of a vector register's width and would
    have to sort them for it.
    """
    kernel = np.zeros((filters, channels, 1, 1), dtype=np.float32)
    kernel[np.arange(channels), np.arange(channels)] = 1
    return kernel, np.zeros(filters, dtype=np.float32)


def _residual(
    graph: _Graph,
    x: str,
    first: tuple[Floats, Floats],
    second: tuple[Floats, Floats],
    *,
    side: int,
    halving: bool,
) -> tuple[str, int]:
    """One residual block over maps of `side` x `side`; its output and the new side.

    A halving block's shortcut is an average pool. Where the two branches differ in size or channels dlib adds them as
    if the smaller were padded with zeros: the shortcut has fewer channels, the other branch may have fewer rows.
    """
    y = graph.node("Relu", graph.convolve(x, first, stride=2 if halving else 1, padding=0 if halving else 1))
    y = graph.convolve(y, second, stride=1, padding=1)
    if not halving:
        return graph.node("Relu", graph.node("Add", y, x)), side
    convolved, pooled = (side - 3) // 2 + 1, (side - 2) // 2 + 1
    filters, channels = first[0].shape[:2]
    shortcut = graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    if filters > channels:
        shortcut = graph.convolve(shortcut, _widening(channels, filters), stride=1, padding=0)
    y = graph.pad(y, rows=pooled - convolved)
    return graph.node("Relu", graph.node("Add", y, shortcut)), pooled


def detector_graph(source: bytes) -> onnx.ModelProto:
    """YuNet over RGB: float32 (1, 3, h, w) -> for each stride a map (1, 16, h / stride, w / stride).

    The sides must be divisible by 32. A map's channels are the twelve heads' outputs for it, the probabilities as
    logits. The heads all see the same features, so those of one map are one convolution pair of 16 channels: the width
    of a vector register, where each alone is too narrow for ONNX Runtime's fast layout.
    """
    model = onnx.load_model_from_string(source)
    weights = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    heads = [[_head(makers, f"{kind}_{stride}") for kind in _HEADS] for stride in STRIDES]
    first_head = {pointwise.output[0] for map_ in heads for pointwise, _ in map_}
    trunk = list(takewhile(lambda node: node.output[0] not in first_head, model.graph.node))
    graph = _Graph(trunk, [])
    for stride, map_ in zip(STRIDES, heads, strict=True):
        _merge(graph, weights, map_, f"map_{stride}")
    trunk[0].input[:2] = ["image", graph.constant(weights[trunk[0].input[1]][:, ::-1])]  # it was trained on BGR
    used = {name for node in trunk for name in node.input}
    graph.constants += [constant for constant in model.graph.initializer if constant.name in used]
    return _detector_of(graph)


def _head(makers: dict[str, onnx.NodeProto], output: str) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The convolutions of a head, pointwise and depthwise; what follows them only arranges the outputs."""
    node = makers[output]
    while node.op_type != "Conv":
        node = makers[node.input[0]]
    return makers[node.input[0]], node


def _merge(
    graph: _Graph, weights: dict[str, Floats], heads: list[tuple[onnx.NodeProto, onnx.NodeProto]], output: str
) -> None:
    """Put the heads of one map into the graph as one."""
    x = heads[0][0].input[0]
    for step, (size, name) in enumerate(((1, f"{output}_pointwise"), (3, output))):
        kernel, bias = (
            graph.constant(np.concatenate([weights[head[step].input[place]] for head in heads])) for place in (1, 2)
        )
        group = {"group": 16} if size == 3 else {}
        pads = [size // 2] * 4
        x = graph.node("Conv", x, kernel, bias, output=name, kernel_shape=[size, size], pads=pads, **group)


def _detector_of(graph: _Graph) -> onnx.ModelProto:
    maps = [
        helper.make_tensor_value_info(
            f"map_{stride}", TensorProto.FLOAT, [1, 16, f"rows_{stride}", f"columns_{stride}"]
        )
        for stride in STRIDES
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    model = helper.make_model(
        helper.make_graph(graph.nodes, DETECTOR, [image], maps, graph.constants),
        opset_imports=[helper.make_opsetid("", 11)],  # the source's
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model
