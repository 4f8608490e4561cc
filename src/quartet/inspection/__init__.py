"""What is in a folder of ONNX files, in words: which variables go in and out, what they weigh, what is stored twice.

`meanings` knows the names, `weights` looks at the bytes, `runtime` at what the operators need, `folder` puts them
together, `account` reckons what the cache and a step take; `page` prints the result, `compare` two of them.
"""

from quartet.inspection.compare import render_both
from quartet.inspection.folder import Graph, Inspection, Variable, inspect_folder
from quartet.inspection.page import render
from quartet.inspection.weights import Copy, Repeat

__all__ = ["Copy", "Graph", "Inspection", "Repeat", "Variable", "inspect_folder", "render", "render_both"]
