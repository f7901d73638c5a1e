// Speed of the catalogue's kernels of products and of whole layers on one core, beside what the
// core can do at most, measured in the same moments.
//
//     cmake -S . -B build/bench -DSUB8_KERNEL_BENCH=ON
//     cmake --build build/bench --target sub8_kernel_bench
//     build/bench/benchmarks/kernels/sub8_kernel_bench [isa [part of a kernel's or layer's name]]
//
// For every layer shape: rounds of (limit, layer, limit, layer, ...); the figures are medians over
// rounds, and the fraction is the median of each round's ratio, so that a machine whose speed
// drifts does not blur it.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "conv/convolution.h"
#include "kernels/catalogue.h"
#include "limits.h"
#include "operands.h"

namespace {

using sub8::kernels::KernelSet;

struct Shape {
    const char* name;
    int inputs, outputs, kernel, size, stride;
    int groups = 1;
};

const Shape kShapes[] = {
    {"1x1 64>64 56", 64, 64, 1, 56, 1},        {"1x1 64>256 56", 64, 256, 1, 56, 1},
    {"1x1 256>64 56", 256, 64, 1, 56, 1},      {"1x1 512>128 28", 512, 128, 1, 28, 1},
    {"1x1 128>512 28", 128, 512, 1, 28, 1},    {"1x1 1024>256 14", 1024, 256, 1, 14, 1},
    {"1x1 256>1024 14", 256, 1024, 1, 14, 1},  {"1x1 2048>512 7", 2048, 512, 1, 7, 1},
    {"1x1 512>2048 7", 512, 2048, 1, 7, 1},    {"3x3 64>64 56", 64, 64, 3, 56, 1},
    {"3x3 128>128 28", 128, 128, 3, 28, 1},    {"3x3 256>256 14", 256, 256, 3, 14, 1},
    {"3x3 512>512 7", 512, 512, 3, 7, 1},      {"3x3/2 128>128 56", 128, 128, 3, 56, 2},
    {"7x7/2 3>64 224", 3, 64, 7, 224, 2},      {"linear 4096>4096", 4096, 4096, 1, 1, 1},
    {"linear 2048>1000", 2048, 1000, 1, 1, 1}, {"dw 3x3 96 56", 1, 96, 3, 56, 1, 96},
    {"dw 3x3 576 14", 1, 576, 3, 14, 1, 576},  {"3x3/2 3>32 224", 3, 32, 3, 224, 2},
    {"dw 3x3/2 96 112", 1, 96, 3, 112, 2, 96}, {"dw 5x5 240 28", 1, 240, 5, 28, 1, 240},
};

struct Format {
    const char* name;
    const char* weights;
    int cluster;
};

const Format kFormats[] = {
    {"ternary N=64", "ternary", 64},
    {"ternary N=4", "ternary", 4},
    {"int4 N=64", "int4", 64},
    {"int8", "int8", 1 << 20},
};

// Time that this thread had the processor, so that other processes' turns do not count.
double thread_time() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

template <typename F>
double seconds(const F& work) {
    const double start = thread_time();
    work();
    return thread_time() - start;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

// A layer with random operands and an 8-bit result.
class Bench {
  public:
    Bench(sub8::Isa isa, const Shape& shape, const Format& format) {
        std::mt19937 random(1);
        const int cluster = std::min(format.cluster, shape.inputs);
        const int clusters = (shape.inputs + cluster - 1) / cluster;
        const sub8::weights::Format& weights_format = sub8::weights::format(format.weights);
        const int largest = weights_format.largest;
        const int64_t count = int64_t(shape.outputs) * shape.inputs * shape.kernel * shape.kernel;
        std::vector<uint8_t> codes(std::size_t(count), 0);
        for (uint8_t& byte : codes) {
            for (int place = 0; place < 8; place += weights_format.bits) {
                const int value = int(random() % (2 * largest + 1)) - largest;
                byte = uint8_t(byte | (value & ((1 << weights_format.bits) - 1)) << place);
            }
        }
        // As the quantiser chooses it: 8-bit weights of one cluster need no scale finer than 1.
        const int largest_alpha = weights_format.bits == 8 ? 1 : 127;
        std::vector<uint8_t> alpha(std::size_t(shape.outputs) * clusters);
        for (uint8_t& value : alpha) value = uint8_t(1 + random() % largest_alpha);
        const sub8::conv::WeightShape weight_shape{shape.outputs, shape.inputs, shape.kernel,
                                                   shape.kernel, shape.groups};
        const auto weights = sub8::conv::PackedWeights::pack(
            isa, weight_shape,
            {{sub8::weights::Codes(weights_format, codes.data(), count), cluster, 0,
              alpha.data()}});

        sub8::conv::ConvGeometry geometry;
        geometry.in_h = geometry.in_w = shape.size;
        geometry.stride_h = geometry.stride_w = shape.stride;
        geometry.pad_top = geometry.pad_left = shape.kernel / 2;
        geometry.out_h = geometry.out_w = (shape.size + shape.stride - 1) / shape.stride;
        sub8::requantize::To8Bit to_8_bit;
        to_8_bit.multiplier = {1};
        to_8_bit.offset.assign(std::size_t(shape.outputs), 100);
        to_8_bit.shift = 12;
        const auto layer = std::make_shared<const sub8::conv::PreparedLayer>(
            weights, sub8::conv::InputFormat{}, to_8_bit);
        convolution_ = sub8::conv::Convolution::create(layer, geometry);

        const std::size_t inputs =
            std::size_t(shape.size) * shape.size * shape.inputs * shape.groups;
        const std::size_t positions = std::size_t(geometry.out_h) * geometry.out_w;
        input_.resize(inputs);
        for (uint8_t& value : input_) value = uint8_t(random());
        output_.resize(positions * shape.outputs);
        scratch_ = sub8::kernels::aligned_array<uint8_t>(convolution_->scratch_bytes(1));
        macs_ = double(positions) * double(count);
    }

    void run() {
        convolution_->run(input_.data(), nullptr, output_.data(), scratch_.get(), 0, 1, false);
    }
    double macs() const { return macs_; }

  private:
    std::unique_ptr<const sub8::conv::Convolution> convolution_;
    std::vector<uint8_t> input_, output_;
    std::unique_ptr<uint8_t[], sub8::kernels::Free> scratch_;
    double macs_;
};

constexpr int kCalls = 200;

// A kernel of products alone, operands in the first-level cache: runs of 16 steps, or as short as
// the kernel is made for.
class KernelBench {
  public:
    KernelBench(const KernelSet& set, sub8::kernels::TileKernels KernelSet::* place, int channels)
        : kernels_(set.*place),
          steps_(set, sub8::kernels::arithmetic_of(place), 1, run_steps(place, channels),
                 kernels_.rows, 1),
          acc_(sub8::kernels::aligned_array<int32_t>(std::size_t(kernels_.rows) * set.panel)) {}

    void run() {
        const auto tile = steps_.tile(kernels_.rows, acc_.get(), true);
        for (int i = 0; i < kCalls; ++i) kernels_.of[kernels_.rows](tile);
    }
    double macs() const { return kCalls * steps_.macs(); }

  private:
    static std::vector<uint16_t> run_steps(sub8::kernels::TileKernels KernelSet::* place,
                                           int channels) {
        const int wide = place == &KernelSet::wide16 ? 2 : 4;
        const int length = place == &KernelSet::runs16_two ? 2 : 16;
        return std::vector<uint16_t>(std::size_t(channels / wide / length), uint16_t(length));
    }

    const sub8::kernels::TileKernels& kernels_;
    sub8::kernels::Steps steps_;
    std::unique_ptr<int32_t[], sub8::kernels::Free> acc_;
};

class RowBench {
  public:
    RowBench(const KernelSet& set, sub8::kernels::RowKernel KernelSet::* place, int channels)
        : kernel_(set.*place),
          format_(*std::find_if(
              std::begin(sub8::weights::kFormatTable), std::end(sub8::weights::kFormatTable),
              [&](const sub8::weights::Format& format) { return format.row == place; })),
          steps_(set, kernel_.arithmetic, 1, std::vector<uint16_t>(channels / 64, 16), 1, 1),
          acc_(sub8::kernels::aligned_array<int32_t>(std::size_t(set.panel))) {}

    void run() {
        const auto row = steps_.row(format_, acc_.get(), true);
        for (int i = 0; i < kCalls; ++i) kernel_.run(row);
    }
    double macs() const { return kCalls * steps_.macs(); }

  private:
    const sub8::kernels::RowKernel& kernel_;
    const sub8::weights::Format& format_;
    sub8::kernels::Steps steps_;
    std::unique_ptr<int32_t[], sub8::kernels::Free> acc_;
};

struct Figures {
    double gmacs;
    double of_ours, of_usual;  // limits
};

// Of the set that is measured.
sub8::limits::Limits limits;

double speed_of(const sub8::limits::Limit& limit) {
    return 10 * limit.macs / seconds([&] {
               for (int i = 0; i < 10; ++i) limit.run();
           });
}

template <typename B>
Figures measure(B& bench) {
    const double once = std::max(seconds([&] { bench.run(); }), 1e-9);
    const int repeats = std::max(1, int(0.002 / once));
    std::vector<double> speeds, of_ours, of_usual;
    for (int round = 0; round < 25; ++round) {
        const double speed = repeats * bench.macs() / seconds([&] {
                                 for (int i = 0; i < repeats; ++i) bench.run();
                             });
        speeds.push_back(speed);
        of_ours.push_back(speed / speed_of(limits.ours));
        of_usual.push_back(speed / speed_of(limits.usual));
    }
    return {median(speeds) * 1e-9, median(of_ours), median(of_usual)};
}

void print(const std::string& what, const char* with, const Figures& figures) {
    std::printf("%-26s %-13s %8.1f %8.0f%% %8.0f%%\n", what.c_str(), with, figures.gmacs,
                100 * figures.of_ours, 100 * figures.of_usual);
    std::fflush(stdout);
}

void bench_kernel(const KernelSet& set, sub8::kernels::TileKernels KernelSet::* place,
                  const char* name) {
    KernelBench bench(set, place, 512);
    print(name, "K = 512", measure(bench));
}

void bench_kernel(const KernelSet& set, sub8::kernels::RowKernel KernelSet::* place,
                  const char* name) {
    RowBench bench(set, place, 512);
    print(name, "K = 512", measure(bench));
}

// Kernels of other operations are measured within layers.
template <typename Kernel>
void bench_kernel(const KernelSet&, Kernel KernelSet::*, const char*) {}

void bench_catalogue(sub8::Isa isa, const std::string& only) {
    const KernelSet& set = sub8::kernels::kernels_for(isa);
#define SUB8_PANEL(name, outputs, is_signed)
#define SUB8_KERNEL(name, place, home, kernel)                                          \
    if (isa == sub8::Isa::name && std::string(#kernel).find(only) != std::string::npos) \
        bench_kernel(set, &KernelSet::place, #kernel);
#include "kernels/kernels.inc"
#undef SUB8_KERNEL
#undef SUB8_PANEL
}

}  // namespace

int main(int argc, char** argv) {
    const sub8::Isa isa = sub8::select_isa(argc > 1 ? argv[1] : "");
    const std::string only = argc > 2 ? argv[2] : "";
    limits = sub8::limits::limits_of(isa);
    std::printf("instruction set: %s\n", sub8::isa_name(isa));
    std::printf("limits, on registers: %s = %s, %s = %s\n", limits.ours.name, limits.ours.step,
                limits.usual.name, limits.usual.step);
    std::printf("%-26s %-13s %8s    of %s  of %s\n", "kernel, layer", "weights", "GMAC/s",
                limits.ours.name, limits.usual.name);
    bench_catalogue(isa, only);
    for (const Shape& shape : kShapes) {
        if (std::string(shape.name).find(only) == std::string::npos) continue;
        for (const Format& format : kFormats) {
            if (shape.groups > 1 && format.weights != std::string("int8")) continue;
            Bench bench(isa, shape, format);
            print(shape.name, format.name, measure(bench));
        }
    }
}
