"""Latency on real devices. Needs the extra ``profile`` (onnx, onnxruntime)."""

from nasbench_mo.profiling.latency import Latencies, LatencyProtocol, measure_latency
from nasbench_mo.profiling.onnx_graph import folded_weights, onnx_network, random_weights

__all__ = [
    "Latencies",
    "LatencyProtocol",
    "folded_weights",
    "measure_latency",
    "onnx_network",
    "random_weights",
]
