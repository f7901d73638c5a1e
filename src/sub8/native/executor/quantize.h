// float32 [B, C, H, W] to 8-bit [B, H, W, C] and back. Other ranks: one plane, channels = 1.
#pragma once

#include <cstdint>

#include "executor/sizes.h"
#include "executor/step.h"

namespace sub8::executor {

struct PlanarShape {
    std::int64_t batch = 1;
    std::int64_t channels = 1;
    std::int64_t plane = 1;  // height * width

    // Throws std::invalid_argument where a size is not at least 1, or the product is absurd.
    std::int64_t count() const { return checked_product({batch, channels, plane}); }
};

struct StaticFormat {
    bool is_signed = false;
    float scale = 1.0F;
    int zero_point = 0;
};

// Throws where the scale is not positive and finite or the zero point lies outside of the type.
void check_format(const StaticFormat& format);

// Between two buffers of one shape, of elements of so many bytes.
template <int x_bytes, int out_bytes>
class PlanarStep : public Step {
  public:
    PlanarStep(const Buffer& x, const Buffer& out, const PlanarShape& shape,
               const StaticFormat& format)
        : x_(x), out_(out), shape_(shape), format_(format) {
        check_format(format);
        reading(x, shape.count() * x_bytes);
        writing(out, shape.count() * out_bytes);
    }

  protected:
    Buffer x_, out_;
    PlanarShape shape_;
    StaticFormat format_;
};

class Quantize : public PlanarStep<4, 1> {
  public:
    using PlanarStep::PlanarStep;
    void run(const Frame& frame, const Worker& worker) const override;
};

class Dequantize : public PlanarStep<1, 4> {
  public:
    using PlanarStep::PlanarStep;
    void run(const Frame& frame, const Worker& worker) const override;
};

}  // namespace sub8::executor
