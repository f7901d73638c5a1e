// Means over pooling windows with a result exponent chosen per image.
#pragma once

#include <cstdint>

#include "executor/dynamic_exponent.h"
#include "executor/pool.h"

namespace sub8::executor {

class DynamicMeanLargest : public LargestStep {
  public:
    DynamicMeanLargest(const Buffer& x, const WindowSums& sums, const Buffer& largest);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    WindowSums sums_;
};

class DynamicMeanRound : public Step {
  public:
    DynamicMeanRound(const Buffer& x, const Exponent& x_exponent, const WindowSums& sums,
                     const Buffer& out, const ResultExponent& exponent, int low, int high);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    Exponent x_exponent_;
    WindowSums sums_;
    Buffer out_;
    ResultExponent exponent_;
    int low_, high_;
};

}  // namespace sub8::executor
