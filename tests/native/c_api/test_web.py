"""The page that classifies photographs, in a browser: the engine's numbers, nothing fetched from
elsewhere.
"""

import io
import runpy
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import SIZE, small_network

import sub8
from sub8.model_file import ModelFile

PROJECT = Path(__file__).resolve().parents[3]
RUNTIME = PROJECT / "build" / "web" / "sub8.wasm"

pytestmark = pytest.mark.skipif(
    not RUNTIME.exists(), reason="needs build/web/sub8.wasm (emscripten; docs/runtime.md)"
)


def older_than_its_sources() -> bool:
    sources = (PROJECT / "src" / "sub8" / "native").rglob("*.[chi][pn]*")
    return RUNTIME.stat().st_mtime < max(path.stat().st_mtime for path in sources)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if older_than_its_sources():
        pytest.skip("build/web/sub8.wasm is older than its sources")
    folder = tmp_path_factory.mktemp("web")
    images = np.random.default_rng(1).normal(0, 1, (8, 3, SIZE, SIZE)).astype(np.float32)
    recipe = sub8.Recipe(weights=sub8.Ternary(cluster=4), method="hessian")
    sub8.quantize(small_network(), images, recipe).save(folder / "model.onnx")
    source = PROJECT / "examples" / "web" / "make_site.py"
    runpy.run_path(str(source))["make_site"](folder / "model.onnx", folder / "site", RUNTIME)
    return folder / "site"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, ready; on leaving, nothing may have gone wrong or been fetched from elsewhere."""
    troubles: list[str] = []
    requests: list[str] = []
    opened = browser.new_page()
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda sent: requests.append(sent.url))
    opened.goto(address)
    opened.wait_for_function("document.getElementById('state').textContent === 'Ready.'")
    yield opened
    opened.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []


def photograph(seed: int) -> tuple[np.ndarray, bytes]:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return pixels, file.getvalue()


def answers(page: Any) -> list[tuple[str, np.float32]]:
    """Labels and scores; shown are two of their digits."""
    page.wait_for_selector("#answers tr")
    rows = page.evaluate("""() => Array.from(document.querySelectorAll("#answers tr"), (row) =>
        [row.cells[0].textContent, row.cells[1].textContent, Number(row.dataset.score)])""")
    assert all(shown == f"{score:.2f}" for _, shown, score in rows)
    return [(label, np.float32(score)) for label, _, score in rows]


def test_a_photograph_that_is_chosen_or_dropped(page: Any, site: Path) -> None:
    pixels, png = photograph(3)
    model = ModelFile.open(site.parent / "model.onnx")
    assert model.preprocess is not None
    scores = sub8.Session(site / "model.s8").run(model.preprocess.apply(pixels)[None])[0]
    best = np.argsort(-scores, kind="stable")[:5]
    expected = [(model.class_name(int(i)), scores[i]) for i in best]

    page.set_input_files("#file", {"name": "p.png", "mimeType": "image/png", "buffer": png})
    assert answers(page) == expected
    assert page.locator("#time").inner_text().endswith(" ms")

    page.evaluate("document.getElementById('answers').replaceChildren()")
    drop = """bytes => {
        const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array(bytes)], "p.png", {type: "image/png"}));
        document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, list(png))
    assert answers(page) == expected


def test_what_is_no_photograph_is_told(page: Any) -> None:
    page.set_input_files("#file", {"name": "p.png", "mimeType": "image/png", "buffer": b"no"})
    page.wait_for_function("document.getElementById('state').textContent.includes('decoded')")


def test_the_runtime_refuses_what_python_refuses(page: Any) -> None:
    told = page.evaluate("""async () => {
        const {load} = await import("./sub8.js");
        const runtime = await load(fetch("sub8.wasm"));
        const bytes = await (await fetch("model.s8")).arrayBuffer();
        const said = [];
        const attempt = (work) => { try { work(); } catch (error) { said.push(error.message); } };
        attempt(() => runtime.open(bytes.slice(0, -1)));
        const model = runtime.open(bytes);
        attempt(() => model.run(new Float32Array(3), [1, 3]));
        attempt(() => model.run(new Float32Array(3), model.inputs[0].sizes.map(() => 1)));
        attempt(() => model.run(new Uint8Array(3), [3]));
        model.close();
        return [runtime.version, ...said];
    }""")
    assert told[0] == sub8.__version__
    assert told[1] == "damaged: its length is not the one that it tells"
    assert told[2].startswith("not compiled for inputs of shape [1, 3]; it takes [any, 3, ")
    assert told[3].startswith("not compiled for inputs of shape [1, 1, 1, 1]; ")
    assert told[4] == "'image' takes a Float32Array"
    assert len(told) == 5
