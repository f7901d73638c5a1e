#include "executor/rows.h"

#include <cmath>
#include <utility>

#include "executor/sizes.h"

namespace sub8::executor {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

kernels::RowResult row_result(const StaticFormat& format) {
    check_format(format);
    require(format.zero_point == 0, "rows have no zero point");
    int exponent = 0;
    require(std::frexp(format.scale, &exponent) == 0.5F, "rows need scales that are powers of two");
    const int low = format.is_signed ? -128 : 0;
    return {1.0F / format.scale, low, low + 255};
}

}  // namespace

Softmax::Softmax(const Buffer& x, const Buffer& out, std::int64_t rows, std::int64_t size,
                 float factor, const std::optional<Buffer>& addend, const Buffer& exponentials,
                 const StaticFormat& result)
    : x_(x),
      out_(out),
      rows_(rows),
      size_(size),
      factor_(factor),
      addend_(addend),
      exponentials_(exponentials),
      result_(row_result(result)) {
    const std::int64_t count = checked_product({rows, size});
    require(std::isfinite(factor) && factor > 0.0F, "a factor must be positive and finite");
    reading(x, count * kFloat);
    reading(exponentials, kernels::kExponentials * std::int64_t{sizeof(std::int32_t)});
    if (addend) {
        period_ = static_cast<std::int64_t>(addend->bytes()) / (size * kFloat);
        require(period_ > 0, "an addend must consist of whole rows");
        reading(*addend, period_ * size * kFloat);
    }
    writing(out, count);
}

std::size_t Softmax::scratch_bytes(int) const {
    return static_cast<std::size_t>(size_) * (sizeof(float) + sizeof(std::int32_t));
}

void Softmax::run(const Frame& frame, const Worker& worker) const {
    const float* x = reinterpret_cast<const float*>(x_.read(frame));
    const float* addend = addend_ ? reinterpret_cast<const float*>(addend_->read(frame)) : nullptr;
    const kernels::SoftmaxArithmetic arithmetic{
        factor_, reinterpret_cast<const std::int32_t*>(exponentials_.read(frame)), result_};
    float* scaled = reinterpret_cast<float*>(worker.scratch);
    std::int32_t* parts = reinterpret_cast<std::int32_t*>(scaled + size_);
    const Range part = share(rows_, worker);
    for (std::int64_t row = part.begin; row < part.end; ++row) {
        const float* added = addend == nullptr ? nullptr : addend + row % period_ * size_;
        worker.kernels.softmax(x + row * size_, added, size_, arithmetic, scaled, parts,
                               out_.write(frame) + row * size_);
    }
}

LayerNorm::LayerNorm(const Buffer& x, const Buffer& out, std::int64_t rows, std::int64_t size,
                     const StaticFormat& format, double least, std::vector<float> gamma,
                     std::vector<float> beta, const StaticFormat& result)
    : x_(x),
      out_(out),
      rows_(rows),
      size_(size),
      gamma_(std::move(gamma)),
      beta_(std::move(beta)),
      arithmetic_{format.is_signed, format.scale, least,
                  gamma_.data(),    beta_.data(), row_result(result)} {
    const std::int64_t count = checked_product({rows, size});
    check_format(format);
    require(format.zero_point == 0, "rows have no zero point");
    require(size <= kernels::kLongestRow, "a row is too long");
    require(std::isfinite(least) && least > 0.0, "what is added to a variance must be positive");
    require(static_cast<std::int64_t>(gamma_.size()) == size &&
                static_cast<std::int64_t>(beta_.size()) == size,
            "a row's factors and addends do not fit its length");
    reading(x, count);
    writing(out, count);
}

void LayerNorm::run(const Frame& frame, const Worker& worker) const {
    const Range part = share(rows_, worker);
    for (std::int64_t row = part.begin; row < part.end; ++row) {
        worker.kernels.normalise_row(x_.read(frame) + row * size_, size_, arithmetic_,
                                     out_.write(frame) + row * size_);
    }
}

}  // namespace sub8::executor
