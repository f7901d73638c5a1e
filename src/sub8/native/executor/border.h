// Borders between float32 [B, C, H, W] and 8-bit [B, H, W, C]. Other ranks: one plane, channels
// = 1.
#pragma once

#include <cstdint>

#include "executor/step.h"

namespace sub8 {

struct BorderShape {
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

class Quantize : public Step {
  public:
    Quantize(const Buffer& x, const Buffer& out, const BorderShape& shape,
             const StaticFormat& format);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    BorderShape shape_;
    StaticFormat format_;
};

class Dequantize : public Step {
  public:
    Dequantize(const Buffer& x, const Buffer& out, const BorderShape& shape,
               const StaticFormat& format);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    BorderShape shape_;
    StaticFormat format_;
};

}  // namespace sub8
