// Compiled models (.s8) in a browser: sub8.wasm, the C interface of sub8.h, called from JavaScript.
//
//   const runtime = await load(fetch("sub8.wasm"));
//   const model = runtime.open(await (await fetch("model.s8")).arrayBuffer());
//   const {data, sizes} = model.run(image, [1, 3, 224, 224]);

// sub8_tensor and sub8_array: name or data, type or bytes, rank, then sizes as 64-bit numbers.
const ARRAY = 80, RANK = 8, SIZES = 16, MOST_AXES = 8;
const KINDS = [Float32Array, Uint8Array, Int8Array]; // sub8_type

/** source: a Response, or a promise of one, or an array buffer. */
export async function load(source) {
    const given = await source;
    // Of the system the module asks the time, for its environment and to end: none is needed.
    const nothing = {get: () => () => 0};
    const imports = {
        env: new Proxy({}, nothing),
        wasi_snapshot_preview1: new Proxy({}, nothing),
    };
    const bytes = given instanceof ArrayBuffer ? given : await given.arrayBuffer();
    const {instance} = await WebAssembly.instantiate(bytes, imports);
    instance.exports._initialize();
    return new Runtime(instance.exports);
}

class Runtime {
    constructor(exports) {
        this.exports = exports;
    }

    get version() {
        return this.text(this.exports.sub8_version());
    }

    /** bytes: of a file .s8. Throws an Error that says what is wrong with them. */
    open(bytes) {
        const copy = this.allocate(bytes.byteLength);
        try {
            this.bytes(copy, bytes.byteLength).set(new Uint8Array(bytes));
            return new Model(this, this.checked(this.exports.sub8_open_memory(copy, bytes.byteLength)));
        } finally {
            this.exports.free(copy);
        }
    }

    // Memory moves when it grows, so every view is made anew.
    bytes(at, count) {
        return new Uint8Array(this.exports.memory.buffer, at, count);
    }
    view(at) {
        return new DataView(this.exports.memory.buffer, at, ARRAY);
    }
    text(at) {
        const all = new Uint8Array(this.exports.memory.buffer, at);
        return new TextDecoder().decode(all.subarray(0, all.indexOf(0)));
    }

    allocate(count) {
        const memory = this.exports.malloc(Math.max(count, 1));
        if (memory === 0) throw new Error("out of memory");
        return memory;
    }
    failed() {
        return new Error(this.text(this.exports.sub8_last_error()));
    }
    checked(pointer) {
        if (pointer === 0) throw this.failed();
        return pointer;
    }
}

class Model {
    constructor(runtime, model) {
        this.runtime = runtime;
        this.model = model;
        const {exports} = runtime;
        try {
            this.session = runtime.checked(exports.sub8_session_create(model, 1, 0));
            this.inputs = this.#described(exports.sub8_input_count(model), exports.sub8_input);
            this.outputs = this.#described(exports.sub8_output_count(model), exports.sub8_output);
        } catch (error) {
            exports.sub8_close(model);
            throw error;
        }
    }

    /** The only output for the only input: {data, sizes}. data: a typed array of the input's kind. */
    run(data, sizes) {
        const {runtime} = this;
        const {exports} = runtime;
        if (this.inputs.length !== 1 || this.outputs.length !== 1) {
            throw new Error("not a model of one input and one output");
        }
        if (!(data instanceof this.inputs[0].kind)) {
            throw new Error(`'${this.inputs[0].name}' takes a ${this.inputs[0].kind.name}`);
        }
        const arrays = runtime.allocate(2 * ARRAY), result = arrays + ARRAY;
        const blocks = [arrays];
        try {
            blocks.push(runtime.allocate(data.byteLength));
            runtime.bytes(blocks[1], data.byteLength).set(
                new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
            this.#write(arrays, blocks[1], data.byteLength, sizes);
            this.#done(exports.sub8_output_sizes(this.session, arrays, 1, result, 1));
            const bytes = runtime.view(result).getUint32(4, true);
            blocks.push(runtime.allocate(bytes));
            this.#write(result, blocks[2], bytes, []);
            this.#done(exports.sub8_run(this.session, arrays, 1, result, 1));
            const Kind = this.outputs[0].kind;
            const found = runtime.bytes(blocks[2], bytes).slice().buffer;
            return {data: new Kind(found), sizes: this.#sizes(result)};
        } finally {
            blocks.forEach((block) => exports.free(block));
        }
    }

    close() {
        this.runtime.exports.sub8_session_free(this.session);
        this.runtime.exports.sub8_close(this.model);
    }

    // name, kind (of typed array), sizes (-1: any).
    #described(count, describe) {
        const tensor = this.runtime.allocate(ARRAY);
        const found = [];
        for (let i = 0; i < count; ++i) {
            this.#done(describe(this.model, i, tensor));
            const view = this.runtime.view(tensor);
            const name = this.runtime.text(view.getUint32(0, true));
            const kind = KINDS[view.getInt32(4, true)];
            found.push({name, kind, sizes: this.#sizes(tensor)});
        }
        this.runtime.exports.free(tensor);
        return found;
    }

    #write(array, data, bytes, sizes) {
        if (sizes.length > MOST_AXES) throw new Error("an array has 0 to 8 axes");
        const view = this.runtime.view(array);
        view.setUint32(0, data, true);
        view.setUint32(4, bytes, true);
        view.setInt32(RANK, sizes.length, true);
        sizes.forEach((size, axis) => view.setBigInt64(SIZES + 8 * axis, BigInt(size), true));
    }

    #sizes(array) {
        const view = this.runtime.view(array);
        const rank = Math.max(view.getInt32(RANK, true), 0);
        return Array.from({length: rank}, (_, axis) =>
            Number(view.getBigInt64(SIZES + 8 * axis, true)));
    }

    #done(status) {
        if (status !== 0) throw this.runtime.failed();
    }
}
