#!/usr/bin/env bash
# ONNX Runtime's wheel for Linux keeps a device id and a database of events in the user's cache folder as soon as a
# session is made. `disable_telemetry_events()`, which its documentation names, does not stop that: only
# `ORT_DISABLE_TELEMETRY=1` in the environment before the import does. A variable of a build server (CI=true) hides it,
# so that a test that runs there sees nothing.
#
# onnxruntime 1.32.0, Linux x86-64. Seen: 2 files, 2 files, 0 files, 0 files.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.19.1

cat > "$work/session.py" <<'PY'
import sys

import onnxruntime
from onnx import TensorProto, helper

if "disable" in sys.argv:
    onnxruntime.disable_telemetry_events()
value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
PY

files_of() { # files_of ARGUMENTS NAME=VALUE: how many files a session leaves in a fresh home
  local home
  home=$(mktemp -d -p "$work")
  env -i PATH="$PATH" HOME="$home" ${2:+"$2"} "$work/venv/bin/python" "$work/session.py" $1 2> /dev/null
  find "$home" -type f -path '*onnxruntime*' | wc -l
}

seen="$(files_of "") $(files_of disable) $(files_of "" ORT_DISABLE_TELEMETRY=1) $(files_of "" CI=true)"
echo "files by default, after disable_telemetry_events(), with ORT_DISABLE_TELEMETRY=1, with CI=true: $seen"
[ "$seen" = "2 2 0 0" ]
