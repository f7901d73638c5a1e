// Means over pooling windows with a result exponent chosen per image.
#pragma once

#include <cstdint>

#include "executor/dynamic_exponent.h"
#include "executor/pool.h"

namespace sub8::executor {

class DynamicMeanLargest : public WindowStep<LargestStep> {
  public:
    DynamicMeanLargest(const Buffer& x, const WindowSums& sums, const Buffer& largest)
        : WindowStep(x, sums, largest, sums.shape().batch) {}
    void run(const Frame& frame, const Worker& worker) const override;
};

class DynamicMeanRound : public WindowStep<RoundStep> {
  public:
    DynamicMeanRound(const Buffer& x, const Exponent& x_exponent, const WindowSums& sums,
                     const Buffer& out, const ResultExponent& exponent, int low, int high);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Exponent x_exponent_;
};

}  // namespace sub8::executor
