"""Take out of ONNX graphs what exporters say of their own code: which file and line made a node.

python strip.py GRAPH ...
"""

from __future__ import annotations

import sys

import onnx

for path in sys.argv[1:]:
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    for one in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del one.metadata_props[:]
        one.doc_string = ""
    for function in model.functions:
        for one in (function, *function.node):
            del one.metadata_props[:]
            one.doc_string = ""
    onnx.save(model, path)
