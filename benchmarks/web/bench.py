"""The page of examples/web in Chromium on photographs with labels, and onnxruntime-web beside it on
the same inputs, taken in turns, one thread each:

    python benchmarks/web/bench.py QUANTISED.onnx PHOTOS.parquet --beside FLOAT.onnx \
        --beside INT8.onnx --web web/node_modules

Prints the size of the site, how many labels are the engine's and how many right, and medians.
"""

import io
import runpy
import statistics
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from playwright.sync_api import sync_playwright

import sub8
from sub8.data import decode_image
from sub8.model_file import ModelFile

SITE = Path(__file__).parents[2] / "examples" / "web" / "make_site.py"
RUNTIME = Path(__file__).parents[2] / "build" / "web" / "sub8.wasm"
CHROMIUM = "/usr/bin/chromium"
# Sessions are kept in the page; each call is one run of one of them.
OPEN = """async (models) => {
    const ort = await import("./ort/ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1;
    globalThis.ort = ort;
    globalThis.beside = [];
    for (const name of models) globalThis.beside.push(await ort.InferenceSession.create(name));
}"""
RUN = """async ([number, values, sizes]) => {
    const session = globalThis.beside[number];
    const x = new ort.Tensor("float32", Float32Array.from(values), sizes);
    const start = performance.now();
    const found = await session.run({[session.inputNames[0]]: x});
    const milliseconds = performance.now() - start;
    const scores = found[session.outputNames[0]].data;
    return [scores.indexOf(Math.max(...scores)), milliseconds];
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def main(
    model: Path,
    photos: Path,
    beside: Annotated[list[Path] | None, typer.Option()] = None,
    web: Annotated[Path | None, typer.Option(help="node_modules with onnxruntime-web")] = None,
    count: int = 20,
) -> None:
    opened = ModelFile.open(model)
    assert opened.preprocess is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runpy.run_path(str(SITE))["make_site"](model, folder, RUNTIME)
        print(f"site: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.2f} MB")
        if web is not None:
            (folder / "ort").symlink_to((web / "onnxruntime-web" / "dist").resolve())
        names = []
        for number, path in enumerate(beside or []):
            names.append(f"beside{number}.onnx")
            (folder / names[-1]).symlink_to(path.resolve())
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_function("document.getElementById('state').textContent === 'Ready.'")
            if names:
                page.evaluate(OPEN, names)
            measure(page, opened, photos, count, [path.name for path in beside or []])
        server.shutdown()


def measure(page: Any, model: ModelFile, photos: Path, count: int, beside: list[str]) -> None:
    session = sub8.Session(model.path, threads=1)
    times: dict[str, list[float]] = {name: [] for name in ("sub8", *beside)}
    right = dict.fromkeys(times, 0)
    same = 0
    table = pq.read_table(photos, columns=["image", "label"]).slice(0, count)
    for encoded, right_label in zip(*(column.to_pylist() for column in table.columns), strict=True):
        x = model.preprocess.apply(decode_image(io.BytesIO(encoded), "photo"))
        engine = int(np.argmax(session.run(x[None])))
        page.evaluate("document.getElementById('answers').replaceChildren()")
        page.set_input_files("#file", {"name": "p", "mimeType": "image/jpeg", "buffer": encoded})
        page.wait_for_selector("#answers tr")
        label = page.locator("#answers tr td").first.inner_text()
        times["sub8"].append(float(page.locator("#time").inner_text().split()[0]))
        same += label == model.class_name(engine)
        right["sub8"] += label == model.class_name(right_label)
        for number, name in enumerate(beside):
            found, milliseconds = page.evaluate(RUN, [number, x.ravel().tolist(), [1, *x.shape]])
            times[name].append(milliseconds)
            right[name] += found == right_label
    print(f"as the engine: {same} of {count}")
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken):.1f} ms, right {right[name]} of {count}")


if __name__ == "__main__":
    typer.run(main)
