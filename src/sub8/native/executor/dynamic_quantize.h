// float32 to 8-bit with an exponent chosen per image, and back.
#pragma once

#include <cstdint>

#include "executor/dynamic_exponent.h"
#include "executor/quantize.h"

namespace sub8::executor {

class QuantizeLargest : public LargestStep {
  public:
    QuantizeLargest(const Buffer& x, const PlanarShape& shape, const Buffer& largest);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    PlanarShape shape_;
};

// exponent: chosen, never fixed.
class QuantizeDynamic : public Step {
  public:
    QuantizeDynamic(const Buffer& x, const Buffer& out, const PlanarShape& shape,
                    const ResultExponent& exponent);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    PlanarShape shape_;
    ResultExponent exponent_;
};

class DequantizeDynamic : public Step {
  public:
    DequantizeDynamic(const Buffer& x, const Exponent& exponent, const Buffer& out,
                      const PlanarShape& shape, bool is_signed);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    Exponent exponent_;
    Buffer out_;
    PlanarShape shape_;
    bool is_signed_;
};

}  // namespace sub8::executor
