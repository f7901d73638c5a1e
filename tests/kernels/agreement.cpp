// Compares every instruction set of a build with the plain kernels, to the bit. For CPUs that the
// Python tests do not run on: cross-compiled and run under emulation by test_emulated.py.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "conv/convolution.h"

namespace {

using sub8::WeightKind;

struct Case {
    int inputs, outputs, kernel, size, stride, groups;
    WeightKind kind;
    int cluster;
    bool is_signed;
    int largest_alpha;
};

int largest_value(WeightKind kind) {
    return kind == WeightKind::ternary ? 1 : kind == WeightKind::int4 ? 7 : 127;
}

std::vector<uint8_t> run(sub8::Isa isa, const Case& c, bool raw) {
    std::mt19937 random(7);
    const int largest = largest_value(c.kind);
    const int cluster = std::min(c.cluster, c.inputs);
    const int clusters = (c.inputs + cluster - 1) / cluster;
    std::vector<int8_t> values(std::size_t(c.outputs) * c.inputs * c.kernel * c.kernel);
    for (int8_t& value : values) value = int8_t(int(random() % (2 * largest + 1)) - largest);
    std::vector<uint8_t> alpha(std::size_t(c.outputs) * clusters);
    for (uint8_t& value : alpha) value = uint8_t(1 + random() % c.largest_alpha);
    const sub8::WeightShape shape{c.outputs, c.inputs, c.kernel, c.kernel, c.groups};
    const auto weights =
        sub8::PackedWeights::pack(isa, shape, {{c.kind, cluster, 0, values.data(), alpha.data()}});
    const std::vector<int8_t> unpacked = weights->unpack(0);
    if (unpacked != values) {
        std::printf("weights do not unpack to what was packed\n");
        std::exit(1);
    }
    sub8::ConvGeometry geometry;
    geometry.in_h = geometry.in_w = c.size;
    geometry.out_h = geometry.out_w = (c.size - 1) / c.stride + 1;
    geometry.stride_h = geometry.stride_w = c.stride;
    geometry.pad_top = geometry.pad_left = c.kernel / 2;
    std::vector<uint8_t> input(std::size_t(c.size) * c.size * c.inputs * c.groups);
    for (uint8_t& value : input) value = uint8_t(random());
    const std::size_t count = std::size_t(geometry.out_h) * geometry.out_w * c.outputs;
    std::vector<uint8_t> residual(count), output(raw ? 4 * count : count);
    for (uint8_t& value : residual) value = uint8_t(random());
    sub8::Epilogue epilogue = sub8::RawAccumulators{};
    if (!raw) {
        sub8::Rescale rescale;
        rescale.multiplier = {1};
        rescale.offset.resize(std::size_t(c.outputs));
        for (int64_t& value : rescale.offset) value = int(random() % 4096) - 2048;
        rescale.residual_multiplier = 16;
        rescale.has_residual = true;
        rescale.residual_signed = c.is_signed;
        rescale.shift = 9;
        rescale.low = c.is_signed ? -128 : 0;
        rescale.high = rescale.low + 255;
        epilogue = rescale;
    }
    const auto convolution =
        sub8::Convolution::create(weights, geometry, {c.is_signed, 3}, epilogue);
    const std::size_t bytes = (convolution->scratch_bytes(2) + 127) / 64 * 64;
    std::unique_ptr<void, void (*)(void*)> scratch(std::aligned_alloc(64, bytes), std::free);
    for (int thread = 0; thread < 2; ++thread) {
        convolution->run(input.data(), residual.data(), output.data(), scratch.get(), thread, 2,
                         false);
    }
    return output;
}

}  // namespace

int main() {
    int compared = 0;
    for (sub8::Isa isa : sub8::supported_isas()) {
        if (isa == sub8::Isa::scalar) continue;
        std::printf("%s\n", sub8::isa_name(isa));
        for (WeightKind kind : {WeightKind::ternary, WeightKind::int4, WeightKind::int8}) {
            for (int cluster : {1, 3, 4, 16, 64, 1000}) {
                for (int inputs : {3, 4, 18, 64}) {
                    for (int variant = 0; variant < 8; ++variant) {
                        const int kernel = variant % 2 == 0 ? 1 : 3;
                        const Case c{inputs,
                                     variant % 3 == 0 ? 37 : 16,
                                     kernel,
                                     3 + variant,
                                     1 + variant % 2,
                                     1,
                                     kind,
                                     cluster,
                                     variant >= 4,
                                     variant % 4 == 3 ? 1 : 20};
                        for (bool raw : {false, true}) {
                            if (run(isa, c, raw) != run(sub8::Isa::scalar, c, raw)) {
                                std::printf("differs: inputs %d outputs %d kernel %d cluster %d\n",
                                            c.inputs, c.outputs, c.kernel, c.cluster);
                                return 1;
                            }
                            ++compared;
                        }
                    }
                }
            }
            for (int channels : {8, 40, 64}) {
                const Case c{1, channels, 3, 9, 1, channels, kind, 1, channels == 40, 50};
                if (run(isa, c, false) != run(sub8::Isa::scalar, c, false)) {
                    std::printf("differs: depthwise, %d channels\n", channels);
                    return 1;
                }
                ++compared;
            }
        }
    }
    std::printf("%d results agree\n", compared);
    return compared > 0 ? 0 : 1;
}
