#!/usr/bin/env bash
# A backup of a model made with hard links (`cp -al`, which needs no space) makes the model itself unreadable for onnx
# and onnx-ir if its weights are in a file of their own: they count the names of that file and call two of them a
# possible attack. The copy is refused as well. This is meant so, and ONNX says it in a note for its maintainers, but
# whoever makes the backup changes nothing in the model's folder, and `ls -l` shows no difference but the number of
# names, 2 for 1. onnx-ir refuses late: its `load` succeeds, the first look at a weight fails. When the backup is gone
# all is as before. So tools that put weights in place should copy them, not link them.
#
# onnx 1.23.2, onnx-ir 1.1.0, Linux. Seen (onnx.load, onnx.checker, onnx_ir.load, first look at a weight):
#   at first                 read read read read
#   after cp -al             ValidationError ValidationError read ValueError
#   the backup               ValidationError ValidationError read ValueError
#   after its removal        read read read read
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnx==1.23.2 onnx-ir==1.1.0

cat > "$work/make.py" <<'PY'
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [256]) for name in ("x", "y")]
weight = numpy_helper.from_array(np.arange(256, dtype=np.float32), "w")
graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", value[:1], value[1:], [weight])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, sys.argv[1], save_as_external_data=True, location="model.data", size_threshold=0)
PY

cat > "$work/read.py" <<'PY'
import sys

import onnx
import onnx_ir

path = sys.argv[1]
steps = (
    lambda: onnx.load(path),
    lambda: onnx.checker.check_model(path),
    lambda: onnx_ir.load(path),
    lambda: onnx_ir.load(path).graph.initializers["w"].const_value.numpy(),
)
results = []
for step in steps:
    try:
        step()
        results.append("read")
    except (onnx.checker.ValidationError, ValueError) as error:
        assert "has multiple hard links" in str(error), error
        results.append(type(error).__name__)
print(*results)
PY

read_by() { "$work/venv/bin/python" "$work/read.py" "$work/$1/model.onnx"; }

mkdir "$work/model"
"$work/venv/bin/python" "$work/make.py" "$work/model/model.onnx"
first=$(read_by model)
cp -al "$work/model" "$work/backup"
after=$(read_by model)
backup=$(read_by backup)
rm -r "$work/backup"
last=$(read_by model)
printf '%s\n' "at first: $first" "after cp -al: $after" "the backup: $backup" "after its removal: $last"
[ "$first, $last" = "read read read read, read read read read" ]
[ "$after" = "ValidationError ValidationError read ValueError" ]
[ "$backup" = "$after" ]
