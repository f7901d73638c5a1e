// Speed of weighted layers on one core, beside what the core can do at most, measured in the same
// moments.
//
//     cmake -S . -B build/bench -DSUB8_KERNEL_BENCH=ON
//     cmake --build build/bench --target sub8_kernel_bench
//     build/bench/benchmarks/kernels/sub8_kernel_bench [isa [part of a layer's name]]
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
#include "kernels/table.h"
#include "limits.h"

namespace {

using sub8::Arithmetic;

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
    {"3x3 512>512 7", 512, 512, 3, 7, 1},      {"7x7/2 3>64 224", 3, 64, 7, 224, 2},
    {"linear 4096>4096", 4096, 4096, 1, 1, 1}, {"linear 2048>1000", 2048, 1000, 1, 1, 1},
    {"dw 3x3 96 56", 1, 96, 3, 56, 1, 96},     {"dw 3x3 576 14", 1, 576, 3, 14, 1, 576},
};

struct Format {
    const char* name;
    sub8::WeightKind kind;
    int cluster;
};

const Format kFormats[] = {
    {"ternary N=64", sub8::WeightKind::ternary, 64},
    {"ternary N=4", sub8::WeightKind::ternary, 4},
    {"int4 N=64", sub8::WeightKind::int4, 64},
    {"int8", sub8::WeightKind::int8, 1 << 20},
};

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

Memory allocate(std::size_t bytes) {
    return Memory(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
}

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
        const int largest = format.kind == sub8::WeightKind::ternary ? 1
                            : format.kind == sub8::WeightKind::int4  ? 7
                                                                     : 127;
        std::vector<int8_t> values(std::size_t(shape.outputs) * shape.inputs * shape.kernel *
                                   shape.kernel);
        for (int8_t& value : values) value = int8_t(int(random() % (2 * largest + 1)) - largest);
        // As the quantiser chooses it: 8-bit weights of one cluster need no scale finer than 1.
        const int largest_alpha = format.kind == sub8::WeightKind::int8 ? 1 : 200;
        std::vector<uint8_t> alpha(std::size_t(shape.outputs) * clusters);
        for (uint8_t& value : alpha) value = uint8_t(1 + random() % largest_alpha);
        const sub8::WeightShape weight_shape{shape.outputs, shape.inputs, shape.kernel,
                                             shape.kernel, shape.groups};
        const auto weights = sub8::PackedWeights::pack(
            isa, weight_shape, {{format.kind, cluster, 0, values.data(), alpha.data()}});

        sub8::ConvGeometry geometry;
        geometry.in_h = geometry.in_w = shape.size;
        geometry.stride_h = geometry.stride_w = shape.stride;
        geometry.pad_top = geometry.pad_left = shape.kernel / 2;
        geometry.out_h = geometry.out_w = (shape.size + shape.stride - 1) / shape.stride;
        sub8::Rescale rescale;
        rescale.multiplier = {1};
        rescale.offset.assign(std::size_t(shape.outputs), 100);
        rescale.shift = 12;
        convolution_ = sub8::Convolution::create(weights, geometry, {}, rescale);

        const std::size_t inputs =
            std::size_t(shape.size) * shape.size * shape.inputs * shape.groups;
        const std::size_t positions = std::size_t(geometry.out_h) * geometry.out_w;
        input_.resize(inputs);
        for (uint8_t& value : input_) value = uint8_t(random());
        output_.resize(positions * shape.outputs);
        scratch_ = allocate(convolution_->scratch_bytes(1));
        macs_ = double(positions) * double(values.size());
    }

    void run() {
        convolution_->run(input_.data(), nullptr, output_.data(), scratch_.get(), 0, 1, false);
    }
    double macs() const { return macs_; }

  private:
    std::unique_ptr<const sub8::Convolution> convolution_;
    std::vector<uint8_t> input_, output_;
    Memory scratch_;
    double macs_;
};

// The tile kernel of ternary runs alone, operands in the first-level cache.
class TileBench {
  public:
    TileBench(sub8::Isa isa, int channels)
        : kernels_(sub8::kernels_for(isa)), steps_(channels / 4) {
        const int runs = (steps_ + 63) / 64;
        for (int run = 0; run < runs; ++run) {
            run_steps_.push_back(uint16_t(steps_ * (run + 1) / runs - steps_ * run / runs));
        }
        activations_.assign(std::size_t(steps_) * 4 * kernels_.rows, 200);
        alpha_.assign(std::size_t(runs) * kernels_.panel * 2, 3);
        weights_ = allocate(std::size_t(steps_) * kernels_.panel * 4);
        std::fill_n(static_cast<int8_t*>(weights_.get()), std::size_t(steps_) * kernels_.panel * 4,
                    int8_t(1));
        acc_ = allocate(std::size_t(kernels_.rows) * kernels_.panel * 4);
    }

    static bool available(sub8::Isa isa) { return !sub8::kernels_for(isa).has_dot; }

    void run() {
        sub8::TileArguments tile{activations_.data(),
                                 4 * kernels_.rows,
                                 1,
                                 weights_.get(),
                                 alpha_.data(),
                                 nullptr,
                                 run_steps_.data(),
                                 int(run_steps_.size()),
                                 steps_,
                                 static_cast<int32_t*>(acc_.get()),
                                 true};
        for (int i = 0; i < kCalls; ++i) kernels_.runs16[kernels_.rows](tile);
    }
    double macs() const { return double(kCalls) * steps_ * 4 * kernels_.panel * kernels_.rows; }

  private:
    static constexpr int kCalls = 200;
    const sub8::Kernels& kernels_;
    int steps_;
    std::vector<uint16_t> run_steps_;
    std::vector<uint8_t> activations_, alpha_;
    Memory weights_, acc_;
};

struct Figures {
    double gmacs;
    double of_int16_limit;
    double of_int32_limit;
};

template <typename B>
Figures measure(B& bench) {
    const double once = std::max(seconds([&] { bench.run(); }), 1e-9);
    const int repeats = std::max(1, int(0.002 / once));
    std::vector<double> speeds, of16, of32;
    for (int round = 0; round < 25; ++round) {
        const double speed = repeats * bench.macs() / seconds([&] {
                                 for (int i = 0; i < repeats; ++i) bench.run();
                             });
        const double limit16 = 10 * sub8::limits::kMacsPerCall / seconds([] {
                                   for (int i = 0; i < 10; ++i) sub8::limits::pairs_into_int16();
                               });
        const double limit32 = 10 * sub8::limits::kMacsPerCall / seconds([] {
                                   for (int i = 0; i < 10; ++i) sub8::limits::pairs_into_int32();
                               });
        speeds.push_back(speed);
        of16.push_back(speed / limit16);
        of32.push_back(speed / limit32);
    }
    return {median(speeds) * 1e-9, median(of16), median(of32)};
}

void print(const char* shape, const char* format, const Figures& figures) {
    std::printf("%-18s %-13s %8.1f %8.0f%% %8.0f%%\n", shape, format, figures.gmacs,
                100 * figures.of_int16_limit, 100 * figures.of_int32_limit);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const sub8::Isa isa = sub8::select_isa(argc > 1 ? argv[1] : "");
    const std::string only = argc > 2 ? argv[2] : "";
    std::printf("instruction set: %s\n", sub8::isa_name(isa));
    std::printf(
        "limits, on registers: int16 = vpmaddubsw + vpaddw, int32 = vpmaddubsw + vpmaddwd + "
        "vpaddd\n");
    std::printf("%-18s %-13s %8s %9s %9s\n", "layer", "weights", "GMAC/s", "of int16", "of int32");
    if (TileBench::available(isa)) {
        for (int channels : {128, 256, 512, 1024}) {
            TileBench bench(isa, channels);
            print(("tile, K = " + std::to_string(channels)).c_str(), "ternary", measure(bench));
        }
    }
    for (const Shape& shape : kShapes) {
        if (std::string(shape.name).find(only) == std::string::npos) continue;
        for (const Format& format : kFormats) {
            if (shape.groups > 1 && format.kind != sub8::WeightKind::int8) continue;
            Bench bench(isa, shape, format);
            print(shape.name, format.name, measure(bench));
        }
    }
}
