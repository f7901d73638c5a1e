// Enlarging 8-bit [B, H, W, C] by whole factors, linearly between neighbours, with one rounding.
#pragma once

#include <array>
#include <cstdint>

#include "executor/step.h"

namespace sub8::executor {

struct Enlargement {
    std::array<std::int64_t, 4> x;  // batch, height, width, channels
    std::int64_t factor_y, factor_x;
    bool centred;  // positions are counted from the centres of elements, else from their begins
    bool is_signed;
    int zero;  // zero point of x
    std::int64_t multiplier;
    int shift, zero_point, low, high;
};

class Interpolate : public Step {
  public:
    Interpolate(const Buffer& x, const Buffer& out, const Enlargement& shape);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    template <typename Byte, typename Sum>
    void run_as(const Frame& frame, const Worker& worker) const;

    Buffer x_, out_;
    Enlargement shape_;
    bool narrow_;
};

}  // namespace sub8::executor
