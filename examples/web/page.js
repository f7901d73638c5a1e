// Classifies photographs that are dropped on the page. Nothing is asked of the network but the
// page's own files: sub8.wasm, model.s8 and model.json (labels and preprocessing), which
// make_site.py puts there.
import {load} from "./sub8.js";

const element = (id) => document.getElementById(id);
const tell = (text) => { element("state").textContent = text; };

async function fetched(name) {
    const response = await fetch(name);
    if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
    return response;
}

const pair = (size) => typeof size === "number" ? [size, size] : size;

/** The photograph's pixels as the network takes them: float32 [1, 3, height, width]. */
function prepared(photo, how) {
    const [height, width] = pair(how.size);
    let scaled = [photo.height, photo.width];
    if (typeof how.resize === "number") {
        const shorter = Math.min(...scaled);
        scaled = scaled.map((side) => Math.floor(side * how.resize / shorter));
    } else if (how.resize) {
        scaled = how.resize;
    }
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.imageSmoothingQuality = "high";
    const top = Math.round((scaled[0] - height) / 2), left = Math.round((scaled[1] - width) / 2);
    context.drawImage(photo, -left, -top, scaled[1], scaled[0]);
    const pixels = context.getImageData(0, 0, width, height).data;
    const image = new Float32Array(3 * height * width);
    const {fround} = Math; // every step in float32, as in Python
    const scale = fround(how.scale);
    for (let channel = 0; channel < 3; ++channel) {
        const from = how.channel_order === "BGR" ? 2 - channel : channel;
        const mean = fround(how.mean[channel]), std = fround(how.std[channel]);
        for (let i = 0; i < height * width; ++i) {
            const value = fround(pixels[4 * i + from] * scale);
            image[channel * height * width + i] = fround(value - mean) / std;
        }
    }
    return {image, sizes: [1, 3, height, width]};
}

/** The likeliest classes: [label, score], the highest first. */
function likeliest(scores, labels, count = 5) {
    return Array.from(scores, (score, i) => [labels[i] ?? String(i), score])
        .sort((a, b) => b[1] - a[1])
        .slice(0, count);
}

function show(answers, milliseconds) {
    element("answers").replaceChildren(...answers.map(([label, score]) => {
        const row = document.createElement("tr");
        row.insertCell().textContent = label;
        row.insertCell().textContent = score.toFixed(2);
        row.dataset.score = score; // all of its digits
        return row;
    }));
    element("time").textContent = `${milliseconds.toFixed(1)} ms`;
}

async function classify(file, model, about) {
    tell("");
    const photo = await createImageBitmap(file);
    URL.revokeObjectURL(element("photo").src);
    element("photo").src = URL.createObjectURL(file);
    element("photo").hidden = false;
    const {image, sizes} = prepared(photo, about.preprocess);
    const start = performance.now();
    const {data} = model.run(image, sizes);
    show(likeliest(data, about.labels), performance.now() - start);
}

async function main() {
    const [wasm, bytes, about] = await Promise.all([
        fetched("sub8.wasm"),
        fetched("model.s8").then((response) => response.arrayBuffer()),
        fetched("model.json").then((response) => response.json()),
    ]);
    const model = (await load(wasm)).open(bytes);
    const drop = element("drop"), input = element("file");
    const classified = (files) => {
        if (files.length > 0) classify(files[0], model, about).catch((error) => tell(error.message));
    };
    input.addEventListener("change", () => classified(input.files));
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
        drop.addEventListener(name, (event) => {
            event.preventDefault();
            drop.classList.toggle("over", name === "dragenter" || name === "dragover");
            if (name === "drop") classified(event.dataTransfer.files);
        });
    }
    input.disabled = false;
    tell("Ready.");
}

main().catch((error) => tell(`This page cannot classify: ${error.message}`));
