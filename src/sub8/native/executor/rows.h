// Softmax and layer normalisation along rows, to 8 bits: the steps of numerics/rows.py.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "executor/quantize.h"
#include "executor/step.h"
#include "kernels/rows.h"

namespace sub8::executor {

// float32 [rows, size]. addend: float32 [period, size], whose rows the x's rows take in turn.
// exponentials: int32 [kExponentials].
class Softmax : public Step {
  public:
    Softmax(const Buffer& x, const Buffer& out, std::int64_t rows, std::int64_t size, float factor,
            const std::optional<Buffer>& addend, const Buffer& exponentials,
            const StaticFormat& result);
    void run(const Frame& frame, const Worker& worker) const override;
    std::size_t scratch_bytes(int threads) const override;

  private:
    Buffer x_, out_;
    std::int64_t rows_, size_, period_ = 0;
    float factor_;
    std::optional<Buffer> addend_;
    Buffer exponentials_;
    kernels::RowResult result_;
};

// 8-bit [rows, size] of a scale that is a power of two.
class LayerNorm : public Step {
  public:
    LayerNorm(const Buffer& x, const Buffer& out, std::int64_t rows, std::int64_t size,
              const StaticFormat& format, double least, std::vector<float> gamma,
              std::vector<float> beta, const StaticFormat& result);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    std::int64_t rows_, size_;
    std::vector<float> gamma_, beta_;
    kernels::NormArithmetic arithmetic_;
};

}  // namespace sub8::executor
