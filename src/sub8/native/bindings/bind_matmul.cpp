#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/bindings.h"
#include "executor/matmul.h"
#include "isa.h"
#include "kernels/catalogue.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using Sizes = std::vector<std::int64_t>;
using Result = std::variant<requantize::To8Bit, requantize::ToFloat>;

std::shared_ptr<executor::Step> matmul(const std::string& isa, const executor::Buffer& a,
                                       Sizes strides_a, bool signed_a, int zero_a,
                                       const executor::Buffer& b, Sizes strides_b, bool signed_b,
                                       int zero_b, const executor::Buffer& out, Sizes sizes,
                                       const Result& result) {
    const auto params =
        std::visit([](const auto& form) { return requantize::Params(form); }, result);
    return std::make_shared<executor::MatMul>(
        kernels::kernels_for(select_isa(isa)),
        executor::Matrices{a, std::move(strides_a), {signed_a, zero_a}},
        executor::Matrices{b, std::move(strides_b), {signed_b, zero_b}}, out, std::move(sizes),
        params);
}

}  // namespace

void bind_matmul(nb::module_& m) {
    m.def("matmul", &matmul, "isa"_a, "a"_a, "strides_a"_a, "signed_a"_a, "zero_a"_a, "b"_a,
          "strides_b"_a, "signed_b"_a, "zero_b"_a, "out"_a, "sizes"_a, "result"_a,
          "Products of 8-bit matrices. sizes: leading axes, rows, inner, columns; strides: of the "
          "leading axes, rows and columns of an operand.");
}

}  // namespace sub8::bindings
