// Sum and product of two 8-bit tensors with broadcasting, one rounding.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/step.h"

namespace sub8::executor {

class Binary : public Step {
  public:
    // sizes: the result's, in its memory order. Strides of the operands per axis, 0 where
    // broadcast. arithmetic.narrow is set here.
    Binary(const Buffer& a, std::vector<std::int64_t> strides_a, const Buffer& b,
           std::vector<std::int64_t> strides_b, const Buffer& out, std::vector<std::int64_t> sizes,
           const kernels::BinaryArithmetic& arithmetic);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    int repeated() const;
    void run_short_rows(const Frame& frame, const Worker& worker, int repeated) const;

    Buffer a_, b_, out_;
    std::vector<std::int64_t> strides_a_, strides_b_, sizes_;
    kernels::BinaryArithmetic arithmetic_;
};

}  // namespace sub8::executor
