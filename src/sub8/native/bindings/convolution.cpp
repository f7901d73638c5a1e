#include "bindings/convolution.h"

#include <tbb/parallel_for.h>

#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/without_interpreter.h"
#include "conv/convolution.h"
#include "executor/fork.h"

namespace nb = nanobind;

namespace sub8 {
namespace {

using Values = nb::ndarray<const int8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Alpha = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<nb::c_contig, nb::device::cpu, nb::ro>;

WeightKind kind_of(const std::string& name) {
    if (name == "ternary") return WeightKind::ternary;
    if (name == "int4") return WeightKind::int4;
    if (name == "int8") return WeightKind::int8;
    throw std::invalid_argument("weights: kind '" + name + "' unknown; use ternary, int4 or int8");
}

std::shared_ptr<const PackedWeights> pack(const std::string& isa,
                                          const std::vector<nb::tuple>& terms, int groups) {
    std::vector<WeightTerm> native;
    std::vector<Values> values;
    std::vector<Alpha> alphas;
    WeightShape shape{};
    for (const nb::tuple& term : terms) {
        if (term.size() != 5)
            throw std::invalid_argument("weights: a term is (kind, cluster, shift, values, alpha)");
        values.push_back(nb::cast<Values>(term[3]));
        alphas.push_back(nb::cast<Alpha>(term[4]));
        const Values& value = values.back();
        const WeightShape own{int(value.shape(0)), int(value.shape(1)), int(value.shape(2)),
                              int(value.shape(3)), groups};
        if (native.empty()) shape = own;
        const int cluster = nb::cast<int>(term[1]);
        const bool same = own.outputs == shape.outputs && own.inputs == shape.inputs &&
                          own.kernel_h == shape.kernel_h && own.kernel_w == shape.kernel_w;
        const int clusters = cluster > 0 ? (own.inputs + cluster - 1) / cluster : 0;
        if (!same || int(alphas.back().shape(0)) != own.outputs ||
            int(alphas.back().shape(1)) != clusters) {
            throw std::invalid_argument("weights: shapes of values and alpha do not fit together");
        }
        native.push_back({kind_of(nb::cast<std::string>(term[0])), cluster, nb::cast<int>(term[2]),
                          value.data(), alphas.back().data()});
    }
    return PackedWeights::pack(select_isa(isa), shape, native);
}

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

Memory allocate(std::size_t bytes) {
    Memory memory(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64));
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

// A layer at one input shape together with what is needed to check its operands.
class BoundConvolution {
  public:
    BoundConvolution(std::shared_ptr<const PackedWeights> weights, const ConvGeometry& geometry,
                     const InputFormat& input, const Epilogue& epilogue)
        : geometry_(geometry),
          inputs_(weights->shape().inputs * weights->shape().groups),
          outputs_(weights->shape().outputs),
          element_(std::holds_alternative<Rescale>(epilogue) ? 1 : 4),
          residual_(element_ == 1 && std::get<Rescale>(epilogue).has_residual),
          convolution_(Convolution::create(std::move(weights), geometry, input, epilogue)) {}

    std::string algorithm() const { return convolution_->algorithm(); }

    // input and residual: 8-bit NHWC. output: as the epilogue says, NHWC; written.
    void run(const Bytes& input, const nb::object& residual,
             nb::ndarray<nb::c_contig, nb::device::cpu> output, int threads) const {
        const std::size_t pixels = std::size_t(geometry_.batch) * geometry_.out_h * geometry_.out_w;
        const std::size_t in_bytes =
            std::size_t(geometry_.batch) * geometry_.in_h * geometry_.in_w * inputs_;
        require(input.nbytes() == in_bytes, "input");
        require(output.nbytes() == pixels * outputs_ * element_, "output");
        require(threads >= 1 && threads <= 64, "threads");
        const void* residual_data = nullptr;
        if (residual_) {
            const Bytes array = nb::cast<Bytes>(residual);
            require(array.nbytes() == pixels * outputs_, "residual");
            residual_data = array.data();
        }
        std::vector<Memory> scratch;
        for (int i = 0; i < threads; ++i)
            scratch.push_back(allocate(convolution_->scratch_bytes(threads)));
        const auto run_share = [&](int i) {
            convolution_->run(input.data(), residual_data, output.data(), scratch[i].get(), i,
                              threads, false);
        };
        without_interpreter([&] {
            if (may_use_threads()) {
                tbb::parallel_for(0, threads, run_share);
            } else {
                for (int i = 0; i < threads; ++i) run_share(i);
            }
        });
    }

  private:
    static void require(bool condition, const char* what) {
        if (!condition)
            throw std::invalid_argument(std::string("convolution: ") + what + " does not fit");
    }

    ConvGeometry geometry_;
    int inputs_;
    int outputs_;
    std::size_t element_;
    bool residual_;
    std::unique_ptr<const Convolution> convolution_;
};

}  // namespace

void bind_convolution(nb::module_& module) {
    nb::class_<PackedWeights>(module, "PackedWeights",
                              "Weights of a layer in an instruction set's layout.")
        .def_static(
            "pack", &pack, nb::arg("isa"), nb::arg("terms"), nb::arg("groups") = 1,
            "Pack terms (kind, cluster, left shift, int8 [O, I, KH, KW], uint8 [O, clusters]).")
        .def(
            "unpack",
            [](const PackedWeights& weights, std::size_t term) {
                const std::vector<int8_t> values = weights.unpack(term);
                return nb::bytes(reinterpret_cast<const char*>(values.data()), values.size());
            },
            nb::arg("term"),
            "The int8 integers [O, I, KH, KW] of one term; terms by falling left shift.")
        .def_prop_ro("bytes", &PackedWeights::bytes, "Memory held, in bytes.")
        .def_prop_ro("isa", [](const PackedWeights& weights) { return isa_name(weights.isa()); });
    nb::class_<ConvGeometry>(module, "ConvGeometry", "Sizes of one run.")
        .def(
            "__init__",
            [](ConvGeometry* self, int batch, std::array<int, 2> input, std::array<int, 2> output,
               std::array<int, 2> strides, std::array<int, 2> pads, std::array<int, 2> dilations) {
                new (self) ConvGeometry{batch,     input[0],     input[1],    output[0],
                                        output[1], strides[0],   strides[1],  pads[0],
                                        pads[1],   dilations[0], dilations[1]};
            },
            nb::arg("batch"), nb::arg("input"), nb::arg("output"),
            nb::arg("strides") = std::array<int, 2>{1, 1},
            nb::arg("pads") = std::array<int, 2>{0, 0},
            nb::arg("dilations") = std::array<int, 2>{1, 1},
            "input, output: height, width. pads: top, left.");
    nb::class_<Rescale>(module, "Rescale", "8-bit result, see sub8.engine.plan.requantize.")
        .def(
            "__init__",
            [](Rescale* self, std::vector<int64_t> multiplier, std::vector<int64_t> offset,
               int64_t residual_multiplier, int shift, int zero_point, int low, int high,
               bool has_residual, bool residual_signed) {
                new (self) Rescale{std::move(multiplier),
                                   std::move(offset),
                                   residual_multiplier,
                                   shift,
                                   zero_point,
                                   low,
                                   high,
                                   has_residual,
                                   residual_signed};
            },
            nb::kw_only(), nb::arg("multiplier"), nb::arg("offset"),
            nb::arg("residual_multiplier") = 0, nb::arg("shift") = 0, nb::arg("zero_point") = 0,
            nb::arg("low") = 0, nb::arg("high") = 255, nb::arg("has_residual") = false,
            nb::arg("residual_signed") = false);
    nb::class_<FloatRescale>(module, "FloatRescale",
                             "float32 result, see sub8.engine.plan.requantize.")
        .def(
            "__init__",
            [](FloatRescale* self, int64_t multiplier, std::vector<int64_t> offset,
               std::vector<float> scale) {
                new (self) FloatRescale{multiplier, std::move(offset), std::move(scale)};
            },
            nb::kw_only(), nb::arg("multiplier"), nb::arg("offset"), nb::arg("scale"));
    nb::class_<RawAccumulators>(module, "RawAccumulators", "int32 result without bias.")
        .def(nb::init<>());
    nb::class_<BoundConvolution>(module, "Convolution", "One layer at one input shape.")
        .def(
            "__init__",
            [](BoundConvolution* self, std::shared_ptr<const PackedWeights> weights,
               const ConvGeometry& geometry, bool is_signed, int zero_point,
               const nb::object& epilogue) {
                Epilogue form = RawAccumulators{};
                if (nb::isinstance<Rescale>(epilogue)) {
                    form = nb::cast<Rescale>(epilogue);
                } else if (nb::isinstance<FloatRescale>(epilogue)) {
                    form = nb::cast<FloatRescale>(epilogue);
                } else if (!nb::isinstance<RawAccumulators>(epilogue)) {
                    throw std::invalid_argument("convolution: unknown epilogue");
                }
                new (self)
                    BoundConvolution(std::move(weights), geometry, {is_signed, zero_point}, form);
            },
            nb::arg("weights"), nb::arg("geometry"), nb::arg("is_signed"), nb::arg("zero_point"),
            nb::arg("epilogue"))
        .def_prop_ro("algorithm", &BoundConvolution::algorithm,
                     "What it does: direct, depthwise, winograd 4x4, ...")
        .def("run", &BoundConvolution::run, nb::arg("input"), nb::arg("residual").none(),
             nb::arg("output"), nb::arg("threads") = 1,
             "Fill output (NHWC) from input and residual (8-bit NHWC).");
}

}  // namespace sub8
