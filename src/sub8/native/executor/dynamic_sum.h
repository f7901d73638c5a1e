// Sums of operands at different powers of two.
//
// The arithmetic is that of sub8.numerics.dynamic: operands are aligned to the finest of their
// exponents, at most 28 below the coarsest of those that are not all zero in the image.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "executor/dynamic_exponent.h"
#include "executor/step.h"

namespace sub8::executor {

enum class ElementType { u8, s8, s32 };

struct DynamicOperand {
    Buffer values;
    ElementType type;
    std::vector<std::int64_t> strides;  // per axis of the result, 0 where broadcast
    Exponent exponent;
    // No value is larger in magnitude. It decides only whether 32-bit sums suffice; where it is
    // wrong, sums are.
    std::int64_t largest = std::int64_t{1} << 31;
};

// mantissa * 2**exponent
struct RealBound {
    std::int64_t mantissa = 0;
    int exponent = 0;
};

// The sum of one to three operands over an index space whose first axis is the batch.
class DynamicSum {
  public:
    // Operands of 32 bits and more must stay below 2**31 in magnitude, as accumulators and biases
    // do.
    DynamicSum(std::vector<std::int64_t> sizes, std::vector<DynamicOperand> operands,
               std::optional<RealBound> minimum, std::optional<RealBound> maximum);

    std::int64_t batch() const { return batch_; }
    std::int64_t rows() const { return rows_; }
    std::int64_t row_size() const { return sizes_.back(); }
    std::int64_t rows_per_image() const { return rows_ / batch_; }
    std::int64_t count() const { return rows_ * sizes_.back(); }
    // What it reads: operands and their exponents.
    std::vector<Buffer> buffers() const;

    // How the operands of one image come to one unit.
    struct Alignment {
        std::int64_t unit = 0;
        int shifts[3] = {};
        std::int64_t minimum = INT64_MIN, maximum = INT64_MAX;
        bool narrow = false;  // every sum stays below 2**30
    };
    Alignment align(const Frame& frame, std::int64_t image) const;
    // Sums of elements [begin, begin + count) of one row, in the image's unit.
    void compute(const Frame& frame, const Alignment& alignment, std::int64_t row,
                 std::int64_t begin, std::int64_t count, std::int64_t* totals) const;
    // The same for narrow alignments.
    void compute_narrow(const Frame& frame, const Alignment& alignment, std::int64_t row,
                        std::int64_t begin, std::int64_t count,
                        const kernels::ElementKernels& kernels, std::int32_t* totals) const;

  private:
    bool is_narrow(const Alignment& alignment) const;
    // Whether an operand has elements other than zero in the image.
    bool is_present(const DynamicOperand& operand, const Frame& frame, std::int64_t image) const;

    std::vector<std::int64_t> sizes_;
    std::vector<DynamicOperand> operands_;
    std::optional<RealBound> minimum_, maximum_;
    std::int64_t batch_, rows_;
};

// A step that reads a sum.
template <typename Result>
class SumStep : public Result {
  protected:
    template <typename... Arguments>
    explicit SumStep(const DynamicSum& sum, const Arguments&... result)
        : Result(result...), sum_(sum) {
        for (const Buffer& buffer : sum.buffers()) this->reading(buffer, 0);
    }

    DynamicSum sum_;
};

class DynamicLargest : public SumStep<LargestStep> {
  public:
    DynamicLargest(const DynamicSum& sum, const Buffer& largest)
        : SumStep(sum, largest, sum.batch()) {}
    void run(const Frame& frame, const Worker& worker) const override;
};

class DynamicRound : public SumStep<RoundStep> {
  public:
    DynamicRound(const DynamicSum& sum, const Buffer& out, const ResultExponent& exponent, int low,
                 int high)
        : SumStep(sum, out, sum.count(), sum.batch(), exponent, low, high) {}
    void run(const Frame& frame, const Worker& worker) const override;
};

// float32 result.
class DynamicFloat : public SumStep<Step> {
  public:
    DynamicFloat(const DynamicSum& sum, const Buffer& out) : SumStep(sum), out_(out) {
        writing(out, sum.count() * 4);
    }
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer out_;
};

}  // namespace sub8::executor
