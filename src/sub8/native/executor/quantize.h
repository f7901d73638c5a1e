// float32 [B, C, H, W] to 8-bit [B, H, W, C] and back. Other ranks: one plane, channels = 1.
#pragma once

#include <cstdint>

#include "executor/step.h"

namespace sub8::executor {

struct PlanarShape {
    std::int64_t batch = 1;
    std::int64_t channels = 1;
    std::int64_t plane = 1;  // height * width
};

struct StaticFormat {
    bool is_signed = false;
    float scale = 1.0F;
    int zero_point = 0;
};

// Throws where the scale is not positive and finite or the zero point lies outside of the type.
void check_format(const StaticFormat& format);

// Between two buffers of one shape.
class PlanarStep : public Step {
  protected:
    PlanarStep(const Buffer& x, int x_bytes, const Buffer& out, int out_bytes,
               const PlanarShape& shape, const StaticFormat& format);

    Buffer x_, out_;  // of elements of so many bytes
    PlanarShape shape_;
    StaticFormat format_;
};

class Quantize : public PlanarStep {
  public:
    Quantize(const Buffer& x, const Buffer& out, const PlanarShape& shape,
             const StaticFormat& format)
        : PlanarStep(x, 4, out, 1, shape, format) {}
    void run(const Frame& frame, const Worker& worker) const override;
};

class Dequantize : public PlanarStep {
  public:
    Dequantize(const Buffer& x, const Buffer& out, const PlanarShape& shape,
               const StaticFormat& format)
        : PlanarStep(x, 1, out, 4, shape, format) {}
    void run(const Frame& frame, const Worker& worker) const override;
};

}  // namespace sub8::executor
