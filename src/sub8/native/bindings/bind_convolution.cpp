#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <tbb/blocked_range.h>

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/without_interpreter.h"
#include "conv/convolution.h"
#include "executor/buffer.h"
#include "executor/fork.h"
#include "executor/parallel.h"
#include "loader/fields.h"
#include "loader/layers.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using Bytes = nb::ndarray<nb::c_contig, nb::device::cpu, nb::ro>;

// A layer at one input shape together with what is needed to check its operands.
class BoundConvolution {
  public:
    BoundConvolution(std::shared_ptr<const conv::PreparedLayer> layer,
                     const conv::ConvGeometry& geometry)
        : geometry_(geometry),
          layer_(std::move(layer)),
          convolution_(conv::Convolution::create(layer_, geometry)) {}

    std::string algorithm() const { return convolution_->algorithm(); }

    // input and residual: 8-bit NHWC. output: as the layer's result says, NHWC; written.
    void run(const Bytes& input, const std::optional<Bytes>& residual,
             nb::ndarray<nb::c_contig, nb::device::cpu> output, int threads) const {
        const conv::WeightShape& shape = layer_->weights().shape();
        const std::size_t pixels = std::size_t(geometry_.batch) * geometry_.out_h * geometry_.out_w;
        const std::size_t in_bytes = std::size_t(geometry_.batch) * geometry_.in_h *
                                     geometry_.in_w * shape.inputs * shape.groups;
        const std::size_t element = layer_->has_8_bit_result() ? 1 : 4;
        require(input.nbytes() == in_bytes, "input");
        require(output.nbytes() == pixels * shape.outputs * element, "output");
        require(threads >= 1 && threads <= 64, "threads");
        const void* residual_data = nullptr;
        if (layer_->has_residual()) {
            require(residual && residual->nbytes() == pixels * shape.outputs, "residual");
            residual_data = residual->data();
        }
        std::vector<std::unique_ptr<executor::AlignedBytes>> scratch;
        for (int i = 0; i < threads; ++i) {
            scratch.push_back(
                std::make_unique<executor::AlignedBytes>(convolution_->scratch_bytes(threads)));
        }
        const tbb::blocked_range<int> all(0, threads);
        const auto run_shares = [&](const tbb::blocked_range<int>& range) {
            for (int i = range.begin(); i < range.end(); ++i) {
                convolution_->run(input.data(), residual_data, output.data(), scratch[i]->data(), i,
                                  threads, false);
            }
        };
        without_interpreter([&] {
            if (executor::may_use_threads()) {
                executor::parallel_for(all, run_shares);
            } else {
                run_shares(all);
            }
        });
    }

  private:
    static void require(bool condition, const char* what) {
        if (!condition)
            throw std::invalid_argument(std::string("convolution: ") + what + " does not fit");
    }

    conv::ConvGeometry geometry_;
    std::shared_ptr<const conv::PreparedLayer> layer_;
    std::unique_ptr<const conv::Convolution> convolution_;
};

}  // namespace

void bind_convolution(nb::module_& m) {
    nb::class_<conv::PreparedLayer>(m, "PreparedLayer", "A layer at whatever input shape.")
        .def_static(
            "load",
            [](std::shared_ptr<const conv::PackedWeights> weights, const nb::bytes& layer) {
                return loader::load_layer(std::move(weights), loader::verified<description::Layer>(
                                                                  layer.data(), layer.size()));
            },
            "weights"_a, "layer"_a,
            "A described layer with its weights. Raises ValueError where they do not fit "
            "together.");
    nb::class_<conv::ConvGeometry>(m, "ConvGeometry", "Sizes of one run.")
        .def(
            "__init__",
            [](conv::ConvGeometry* self, int batch, std::array<int, 2> input,
               std::array<int, 2> output, std::array<int, 2> strides, std::array<int, 2> pads,
               std::array<int, 2> dilations) {
                new (self) conv::ConvGeometry{batch,     input[0],     input[1],    output[0],
                                              output[1], strides[0],   strides[1],  pads[0],
                                              pads[1],   dilations[0], dilations[1]};
            },
            "batch"_a, "input"_a, "output"_a, "strides"_a = std::array<int, 2>{1, 1},
            "pads"_a = std::array<int, 2>{0, 0}, "dilations"_a = std::array<int, 2>{1, 1},
            "input, output: height, width. pads: top, left.");
    nb::class_<BoundConvolution>(m, "Convolution", "One layer at one input shape.")
        .def(nb::init<std::shared_ptr<const conv::PreparedLayer>, const conv::ConvGeometry&>(),
             "layer"_a, "geometry"_a)
        .def_prop_ro("algorithm", &BoundConvolution::algorithm,
                     "What it does: direct, depthwise, winograd 4x4, ...")
        .def("run", &BoundConvolution::run, "input"_a, "residual"_a.none(), "output"_a,
             "threads"_a = 1, "Fill output (NHWC) from input and residual (8-bit NHWC).");
}

}  // namespace sub8::bindings
