#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstring>

#include "bindings/bindings.h"
#include "bindings/shapes.h"
#include "executor/binary.h"
#include "executor/channel_table.h"
#include "executor/copy.h"
#include "executor/interpolate.h"
#include "executor/pool.h"
#include "executor/quantize.h"
#include "executor/table.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using Sizes = std::vector<std::int64_t>;
using StepPointer = std::shared_ptr<executor::Step>;
using TableBytes = nb::ndarray<const std::uint8_t, nb::shape<256>, nb::c_contig, nb::device::cpu>;

StepPointer quantize(const executor::Buffer& x, const executor::Buffer& out,
                     const PlanarSizes& shape, bool is_signed, float scale, int zero_point) {
    return std::make_shared<executor::Quantize>(
        x, out, planar_shape(shape), executor::StaticFormat{is_signed, scale, zero_point});
}

StepPointer dequantize(const executor::Buffer& x, const executor::Buffer& out,
                       const PlanarSizes& shape, bool is_signed, float scale, int zero_point) {
    return std::make_shared<executor::Dequantize>(
        x, out, planar_shape(shape), executor::StaticFormat{is_signed, scale, zero_point});
}

kernels::BinaryArithmetic binary_arithmetic(bool signed_a, bool signed_b,
                                            const kernels::ResultRange& result) {
    kernels::BinaryArithmetic arithmetic;
    arithmetic.signed_a = signed_a;
    arithmetic.signed_b = signed_b;
    arithmetic.result = result;
    return arithmetic;
}

StepPointer add(const executor::Buffer& a, Sizes strides_a, bool signed_a,
                const executor::Buffer& b, Sizes strides_b, bool signed_b,
                const executor::Buffer& out, Sizes sizes, std::int64_t multiplier_a,
                std::int64_t multiplier_b, std::int64_t offset, int shift, int zero_point, int low,
                int high) {
    auto arithmetic = binary_arithmetic(signed_a, signed_b, {shift, zero_point, low, high});
    arithmetic.multiplier_a = multiplier_a;
    arithmetic.multiplier_b = multiplier_b;
    arithmetic.offset = offset;
    return std::make_shared<executor::Binary>(a, std::move(strides_a), b, std::move(strides_b), out,
                                              std::move(sizes), arithmetic);
}

StepPointer multiply(const executor::Buffer& a, Sizes strides_a, bool signed_a, int zero_a,
                     const executor::Buffer& b, Sizes strides_b, bool signed_b, int zero_b,
                     const executor::Buffer& out, Sizes sizes, std::int64_t multiplier, int shift,
                     int zero_point, int low, int high) {
    auto arithmetic = binary_arithmetic(signed_a, signed_b, {shift, zero_point, low, high});
    arithmetic.product = true;
    arithmetic.multiplier_a = multiplier;
    arithmetic.zero_a = zero_a;
    arithmetic.zero_b = zero_b;
    return std::make_shared<executor::Binary>(a, std::move(strides_a), b, std::move(strides_b), out,
                                              std::move(sizes), arithmetic);
}

StepPointer table(const executor::Buffer& x, const executor::Buffer& out, std::int64_t count,
                  const TableBytes& bytes) {
    std::array<std::uint8_t, 256> entries;
    std::memcpy(entries.data(), bytes.data(), entries.size());
    return std::make_shared<executor::Table>(x, out, count, entries);
}

using ChannelTables =
    nb::ndarray<const std::uint8_t, nb::shape<-1, 256>, nb::c_contig, nb::device::cpu>;

StepPointer channel_table(const executor::Buffer& x, const executor::Buffer& out,
                          std::int64_t outer, std::int64_t inner, const ChannelTables& tables) {
    const auto channels = static_cast<std::int64_t>(tables.shape(0));
    std::vector<std::uint8_t> entries(tables.data(), tables.data() + tables.size());
    return std::make_shared<executor::ChannelTable>(x, out, outer, channels, inner,
                                                    std::move(entries));
}

StepPointer interpolate(const executor::Buffer& x, const executor::Buffer& out,
                        const std::array<std::int64_t, 4>& shape,
                        std::pair<std::int64_t, std::int64_t> factors, bool centred, bool is_signed,
                        int zero, std::int64_t multiplier, int shift, int zero_point, int low,
                        int high) {
    const executor::Enlargement made{shape, factors.first, factors.second, centred,    is_signed,
                                     zero,  multiplier,    shift,          zero_point, low,
                                     high};
    return std::make_shared<executor::Interpolate>(x, out, made);
}

StepPointer max_pool(const executor::Buffer& x, const executor::Buffer& out,
                     const executor::PoolShape& shape, bool is_signed) {
    return std::make_shared<executor::MaxPool>(x, out, shape, is_signed);
}

StepPointer average_pool(const executor::Buffer& x, const executor::Buffer& out,
                         const executor::PoolShape& shape, bool is_signed, int x_zero_point,
                         bool count_include_pad, std::int64_t multiplier, int shift, int zero_point,
                         int low, int high) {
    const executor::WindowSums sums(shape, is_signed, x_zero_point, count_include_pad);
    return std::make_shared<executor::AveragePool>(
        x, out, sums, executor::MeanArithmetic{multiplier, shift, zero_point, low, high});
}

StepPointer copy(const executor::Buffer& source, std::int64_t source_offset, Sizes source_strides,
                 const executor::Buffer& target, std::int64_t target_offset, Sizes target_strides,
                 Sizes sizes, int element_bytes) {
    return std::make_shared<executor::Copy>(
        source, executor::View{source_offset, std::move(source_strides)}, target,
        executor::View{target_offset, std::move(target_strides)}, std::move(sizes), element_bytes);
}

StepPointer fill(const executor::Buffer& target, int value) {
    return std::make_shared<executor::Fill>(target, value);
}

}  // namespace

void bind_elements(nb::module_& m) {
    nb::class_<executor::Step>(m, "Step", "One operation with every size resolved; immutable.")
        .def("scratch_bytes", &executor::Step::scratch_bytes, "threads"_a);

    nb::class_<executor::PoolShape>(m, "PoolShape", "Sizes of pooling over 8-bit [B, H, W, C].")
        .def(
            "__init__",
            [](executor::PoolShape* self, const std::array<std::int64_t, 4>& x, const Size& out,
               const Size& kernel, const Size& strides, const std::array<std::int64_t, 4>& pads,
               const Size& dilations) {
                new (self) executor::PoolShape{x[0],
                                               x[1],
                                               x[2],
                                               x[3],
                                               out.first,
                                               out.second,
                                               kernel.first,
                                               kernel.second,
                                               strides.first,
                                               strides.second,
                                               pads[0],
                                               pads[1],
                                               pads[2],
                                               pads[3],
                                               dilations.first,
                                               dilations.second};
            },
            "x"_a, "out"_a, "kernel"_a, "strides"_a, "pads"_a, "dilations"_a);

    m.def("quantize", &quantize, "x"_a, "out"_a, "shape"_a, "is_signed"_a, "scale"_a,
          "zero_point"_a, "float32 [B, C, P] to 8-bit [B, P, C]; shape: (B, C, P).");
    m.def("dequantize", &dequantize, "x"_a, "out"_a, "shape"_a, "is_signed"_a, "scale"_a,
          "zero_point"_a, "8-bit [B, P, C] to float32 [B, C, P]; shape: (B, C, P).");
    m.def("add", &add, "a"_a, "strides_a"_a, "signed_a"_a, "b"_a, "strides_b"_a, "signed_b"_a,
          "out"_a, "sizes"_a, "multiplier_a"_a, "multiplier_b"_a, "offset"_a, "shift"_a,
          "zero_point"_a, "low"_a, "high"_a, "Sum of two 8-bit views, one rounding.");
    m.def("multiply", &multiply, "a"_a, "strides_a"_a, "signed_a"_a, "zero_a"_a, "b"_a,
          "strides_b"_a, "signed_b"_a, "zero_b"_a, "out"_a, "sizes"_a, "multiplier"_a, "shift"_a,
          "zero_point"_a, "low"_a, "high"_a, "Product of two 8-bit views, one rounding.");
    m.def("table", &table, "x"_a, "out"_a, "count"_a, "table"_a,
          "out = table[byte of x], 256 bytes.");
    m.def("channel_table", &channel_table, "x"_a, "out"_a, "outer"_a, "inner"_a, "tables"_a,
          "out = tables[channel][byte of x], x [outer, channels, inner].");
    m.def("interpolate", &interpolate, "x"_a, "out"_a, "shape"_a, "factors"_a, "centred"_a,
          "is_signed"_a, "zero"_a, "multiplier"_a, "shift"_a, "zero_point"_a, "low"_a, "high"_a,
          "8-bit [B, H, W, C] enlarged by factors of height and width, one rounding.");
    m.def("max_pool", &max_pool, "x"_a, "out"_a, "shape"_a, "is_signed"_a);
    m.def("average_pool", &average_pool, "x"_a, "out"_a, "shape"_a, "is_signed"_a, "x_zero_point"_a,
          "count_include_pad"_a, "multiplier"_a, "shift"_a, "zero_point"_a, "low"_a, "high"_a);
    m.def("copy", &copy, "source"_a, "source_offset"_a, "source_strides"_a, "target"_a,
          "target_offset"_a, "target_strides"_a, "sizes"_a, "element_bytes"_a,
          "Strided copy; offsets and strides count elements.");
    m.def("fill", &fill, "target"_a, "value"_a, "Every byte to one value.");
}

}  // namespace sub8::bindings
