// One model in onnxruntime-web, by node: node web.mjs NODE_MODULES REQUEST.json
//
// The request names the model, its float32 inputs (raw files) and a folder for the outputs; printed is
// one line of JSON, as targets/runner.py does: the version, milliseconds (the median) or an error.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, requestPath] = process.argv.slice(2);
const require = createRequire(join(modules, "..", "package.json"));
const request = JSON.parse(readFileSync(requestPath, "utf8"));
const about = readFileSync(join(modules, "onnxruntime-web", "package.json"), "utf8");
const told = { version: JSON.parse(about).version };
try {
  const ort = require("onnxruntime-web");
  ort.env.wasm.numThreads = request.threads;
  ort.env.logLevel = "fatal";
  const options = { executionProviders: ["wasm"], logSeverityLevel: 4 };
  const session = await ort.InferenceSession.create(readFileSync(request.model), options);
  const feeds = {};
  for (const [name, { file, shape }] of Object.entries(request.inputs)) {
    const bytes = readFileSync(file);
    const elements = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    feeds[name] = new ort.Tensor("float32", elements, shape);
  }
  const results = await session.run(feeds);
  told.outputs = session.outputNames.map((name, index) => {
    const { data, dims, type } = results[name];
    const file = join(request.folder, `output${index}.bin`);
    writeFileSync(file, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return { file, shape: dims, type };
  });
  const times = [];
  for (let run = 0; run < request.repeats; run += 1) {
    const start = performance.now();
    await session.run(feeds);
    times.push(performance.now() - start);
  }
  told.milliseconds = times.sort((a, b) => a - b)[times.length >> 1];
} catch (error) {
  told.error = String(error);
}
console.log(JSON.stringify(told));
process.exit(0);
