"""ONNX Runtime as a worker's child uses it."""

from pathlib import Path

import onnxruntime


def single_threaded(model: Path, *, varying: bool = False) -> onnxruntime.InferenceSession:
    """A network without a thread pool: threads would not survive the fork, and a core belongs to one child.

    `varying` for a network whose inputs have many sizes: ONNX Runtime would else keep a memory plan for each of them,
    for as long as the process lives.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = not varying
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
