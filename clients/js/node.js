/** Models in folders, for Node: ONNX Runtime finds the data files by itself. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import "./telemetry.js"; // before ONNX Runtime
import ort from "onnxruntime-node";

import { openModel } from "./quartet.js";

/** Load the model in a folder. `threads` per operator; 0 leaves the choice to ONNX Runtime. */
export function open(folder, { threads = 0 } = {}) {
  // the graphs are written with fused kernels: there is nothing to optimise
  const options = { intraOpNumThreads: threads, graphOptimizationLevel: "disabled" };
  return openModel(ort, {
    text: (name) => readFile(join(folder, name), "utf8"),
    session: (name) => ort.InferenceSession.create(join(folder, `${name}.onnx`), options),
  });
}
