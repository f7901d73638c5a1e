// Whole layers on every instruction set of a build equal those on the plain kernels, to the bit.
// For CPUs that the Python tests do not run on: under emulation, by test_agreement.py.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "conv/convolution.h"
#include "kernels/catalogue.h"

namespace {

int transformed = 0;  // layers that took Winograd's transforms

struct Case {
    int inputs, outputs, kernel, size, stride, groups;
    const sub8::weights::Format* format;
    int cluster;
    bool is_signed;
    int largest_alpha;
    bool residual = true;  // of 8-bit results
};

std::vector<uint8_t> run(sub8::Isa isa, const Case& c, bool raw) {
    std::mt19937 random(7);
    const int largest = c.format->largest;
    const int cluster = std::min(c.cluster, c.inputs);
    const int clusters = (c.inputs + cluster - 1) / cluster;
    std::vector<int8_t> values(std::size_t(c.outputs) * c.inputs * c.kernel * c.kernel);
    for (int8_t& value : values) value = int8_t(int(random() % (2 * largest + 1)) - largest);
    std::vector<uint8_t> alpha(std::size_t(c.outputs) * clusters);
    for (uint8_t& value : alpha) value = uint8_t(1 + random() % c.largest_alpha);
    const sub8::conv::WeightShape shape{c.outputs, c.inputs, c.kernel, c.kernel, c.groups};
    const std::vector<uint8_t> codes = sub8::weights::encoded(*c.format, values);
    const sub8::weights::Codes stored(*c.format, codes.data(), int64_t(values.size()));
    const auto weights =
        sub8::conv::PackedWeights::pack(isa, shape, {{stored, cluster, 0, alpha.data()}});
    const std::vector<int8_t> unpacked = weights->unpack(0);
    if (unpacked != values) {
        std::printf("weights do not unpack to what was packed\n");
        std::exit(1);
    }
    sub8::conv::ConvGeometry geometry;
    geometry.in_h = geometry.in_w = c.size;
    geometry.out_h = geometry.out_w = (c.size - 1) / c.stride + 1;
    geometry.stride_h = geometry.stride_w = c.stride;
    geometry.pad_top = geometry.pad_left = c.kernel / 2;
    std::vector<uint8_t> input(std::size_t(c.size) * c.size * c.inputs * c.groups);
    for (uint8_t& value : input) value = uint8_t(random());
    const std::size_t count = std::size_t(geometry.out_h) * geometry.out_w * c.outputs;
    std::vector<uint8_t> residual(count), output(raw ? 4 * count : count);
    for (uint8_t& value : residual) value = uint8_t(random());
    sub8::requantize::Params result = sub8::requantize::RawAccumulators{};
    if (!raw) {
        sub8::requantize::To8Bit to_8_bit;
        to_8_bit.multiplier = {1};
        to_8_bit.offset.resize(std::size_t(c.outputs));
        for (int64_t& value : to_8_bit.offset) value = int(random() % 4096) - 2048;
        to_8_bit.residual_multiplier = c.residual ? 16 : 0;
        to_8_bit.has_residual = c.residual;
        to_8_bit.residual_signed = c.is_signed;
        to_8_bit.shift = 9;
        to_8_bit.low = c.is_signed ? -128 : 0;
        to_8_bit.high = to_8_bit.low + 255;
        result = to_8_bit;
    }
    const auto layer = std::make_shared<const sub8::conv::PreparedLayer>(
        weights, sub8::conv::InputFormat{c.is_signed, 3}, result);
    const auto convolution = sub8::conv::Convolution::create(layer, geometry);
    transformed += convolution->algorithm().rfind("winograd", 0) == 0 ? 1 : 0;
    const std::size_t bytes = (convolution->scratch_bytes(2) + 127) / 64 * 64;
    std::unique_ptr<void, void (*)(void*)> scratch(std::aligned_alloc(64, bytes), std::free);
    for (int thread = 0; thread < 2; ++thread) {
        convolution->run(input.data(), residual.data(), output.data(), scratch.get(), thread, 2,
                         false);
    }
    return output;
}

}  // namespace

// Arguments: the sets to check; none: all of this CPU.
int main(int count, char** names) {
    int compared = 0;
    for (sub8::Isa isa : sub8::supported_isas()) {
        const bool asked =
            count < 2 ||
            std::find(names + 1, names + count, std::string(sub8::isa_name(isa))) != names + count;
        if (isa == sub8::Isa::scalar || !asked) continue;
        std::printf("%s\n", sub8::isa_name(isa));
        for (const sub8::weights::Format& format : sub8::weights::kFormatTable) {
            for (int cluster : {1, 3, 4, 16, 64, 1000}) {
                for (int inputs : {3, 4, 18, 64}) {
                    for (int variant = 0; variant < 8; ++variant) {
                        const int kernel = variant % 2 == 0 ? 1 : 3;
                        // Scales that are 1, whose products with ternary codes are int8, and not;
                        // sums of int8 codes stay in int32.
                        const int largest_alphas[] = {20, 127,
                                                      std::min(255, 25000 / format.largest), 1};
                        const Case c{inputs,          variant % 3 == 0 ? 37 : 16,
                                     kernel,          3 + variant,
                                     1 + variant % 2, 1,
                                     &format,         cluster,
                                     variant >= 4,    largest_alphas[(variant + variant / 4) % 4]};
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
            // Clusters of whole slots, of one and a half, of all channels; tiles and edges of every
            // kind; vectors of channels and half of one.
            for (int cluster : {4, 6, 1000}) {
                for (int size : {25, 27, 28}) {
                    for (int inputs : {64, 80}) {
                        const Case c{inputs,
                                     size == 28 ? 64 : 37,
                                     3,
                                     size,
                                     1,
                                     1,
                                     &format,
                                     cluster,
                                     inputs == 80,
                                     format.largest == 1 ? 127 : 1 + 6 / format.largest};
                        if (run(isa, c, true) != run(sub8::Isa::scalar, c, true)) {
                            std::printf("differs: 3x3 of %d², cluster %d\n", size, cluster);
                            return 1;
                        }
                        ++compared;
                    }
                }
            }
            for (int channels : {8, 24, 40, 64, 112}) {
                for (int kernel : {3, 5}) {
                    for (bool residual : {false, true}) {
                        Case c{1, channels, kernel, 9, 1, channels, &format, 1, channels == 40, 50};
                        c.stride = channels == 112 ? 2 : 1;
                        c.residual = residual;
                        if (run(isa, c, false) != run(sub8::Isa::scalar, c, false)) {
                            std::printf("differs: depthwise, %d channels\n", channels);
                            return 1;
                        }
                        ++compared;
                    }
                }
            }
        }
        if (sub8::kernels::kernels_for(isa).winograd != nullptr && transformed == 0) {
            std::printf("no layer took Winograd's transforms\n");
            return 1;
        }
        std::printf("%d layers by Winograd's transforms\n", transformed);
        transformed = 0;
    }
    std::printf("%d results agree\n", compared);
    return compared > 0 ? 0 : 1;
}
