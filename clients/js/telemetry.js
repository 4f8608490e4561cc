/**
 * ONNX Runtime sends telemetry from 1.29 on and keeps a device id in the user's cache folder, unless this stands in the
 * environment when it is loaded. Whoever wants telemetry sets it to 0. Imported before ONNX Runtime, in whose order
 * modules are evaluated.
 */
process.env.ORT_DISABLE_TELEMETRY ??= "1";
