// Dynamic exponents: sums of operands at different powers of two, and a result exponent chosen per
// image.
//
// The arithmetic is that of sub8.numerics.dynamic: operands are aligned to the finest of their
// exponents, at most 28 below the coarsest. An operator is two steps, one that finds each image's
// largest magnitude (into `largest`, 8 bytes per image, zeroed before) and one that rounds to the
// exponent it implies.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "executor/border.h"
#include "executor/pool.h"
#include "executor/step.h"

namespace sub8 {

// A tensor's exponent: `added`, plus one int32 per image (or one for all images) where `per_image`
// is set.
struct Exponent {
    int added = 0;
    std::optional<Buffer> per_image;
    std::int64_t images = 1;

    int of(const Frame& frame, std::int64_t image) const;
};

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
    const std::vector<DynamicOperand>& operands() const { return operands_; }

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
                        std::int64_t begin, std::int64_t count, const ElementKernels& kernels,
                        std::int32_t* totals) const;

  private:
    bool is_narrow(const Alignment& alignment) const;

    std::vector<std::int64_t> sizes_;
    std::vector<DynamicOperand> operands_;
    std::optional<RealBound> minimum_, maximum_;
    std::int64_t batch_, rows_;
};

// Where the result's exponent comes from: fixed, or chosen per image from `largest` and written to
// `chosen`.
struct ResultExponent {
    int fixed = 0;
    bool is_signed = false;
    std::optional<Buffer> largest;  // uint64 per image
    std::optional<Buffer> chosen;   // int32 per image
};

class DynamicLargest : public Step {
  public:
    DynamicLargest(const DynamicSum& sum, const Buffer& largest);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    DynamicSum sum_;
    Buffer largest_;
};

class DynamicRound : public Step {
  public:
    DynamicRound(const DynamicSum& sum, const Buffer& out, const ResultExponent& exponent, int low,
                 int high);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    DynamicSum sum_;
    Buffer out_;
    ResultExponent exponent_;
    int low_, high_;
};

// float32 result.
class DynamicFloat : public Step {
  public:
    DynamicFloat(const DynamicSum& sum, const Buffer& out);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    DynamicSum sum_;
    Buffer out_;
};

class DynamicMeanLargest : public Step {
  public:
    DynamicMeanLargest(const Buffer& x, const WindowSums& sums, const Buffer& largest);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    WindowSums sums_;
    Buffer largest_;
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

class QuantizeLargest : public Step {
  public:
    QuantizeLargest(const Buffer& x, const BorderShape& shape, const Buffer& largest);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    BorderShape shape_;
    Buffer largest_;
};

// exponent: chosen, never fixed.
class QuantizeDynamic : public Step {
  public:
    QuantizeDynamic(const Buffer& x, const Buffer& out, const BorderShape& shape,
                    const ResultExponent& exponent);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    BorderShape shape_;
    ResultExponent exponent_;
};

class DequantizeDynamic : public Step {
  public:
    DequantizeDynamic(const Buffer& x, const Exponent& exponent, const Buffer& out,
                      const BorderShape& shape, bool is_signed);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_;
    Exponent exponent_;
    Buffer out_;
    BorderShape shape_;
    bool is_signed_;
};

}  // namespace sub8
