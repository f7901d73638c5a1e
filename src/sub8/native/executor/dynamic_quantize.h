// float32 to 8-bit with an exponent chosen per image, and back.
#pragma once

#include <cstdint>

#include "executor/dynamic_exponent.h"
#include "executor/quantize.h"

namespace sub8::executor {

// A step that reads float32 x.
template <typename Result>
class FloatStep : public Result {
  protected:
    template <typename... Arguments>
    FloatStep(const Buffer& x, const PlanarShape& shape, const Arguments&... result)
        : Result(result...), x_(x), shape_(shape) {
        this->reading(x, shape.count() * 4);
    }

    Buffer x_;
    PlanarShape shape_;
};

class QuantizeLargest : public FloatStep<LargestStep> {
  public:
    QuantizeLargest(const Buffer& x, const PlanarShape& shape, const Buffer& largest)
        : FloatStep(x, shape, largest, shape.batch) {}
    void run(const Frame& frame, const Worker& worker) const override;
};

// exponent: chosen, never fixed.
class QuantizeDynamic : public FloatStep<RoundStep> {
  public:
    QuantizeDynamic(const Buffer& x, const Buffer& out, const PlanarShape& shape,
                    const ResultExponent& exponent);
    void run(const Frame& frame, const Worker& worker) const override;
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
