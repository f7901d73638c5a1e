#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "executor/dynamic_exponent.h"
#include "executor/dynamic_sum.h"
#include "executor/strided.h"
#include "numeric.h"
#include "requantize/scalar.h"

namespace sub8::executor {
namespace {

using requantize::clamp;
using requantize::shift_round_half_even;

constexpr std::int64_t kAlignmentLimit = 28;
constexpr std::int64_t kUnreachable = std::int64_t{1} << 62;  // no sum is that large
constexpr std::int64_t kChunk = 256;

int element_bytes(ElementType type) { return type == ElementType::s32 ? 4 : 1; }

// totals[i] = or += round_half_even(x[i * stride] / 2**shift); a negative shift multiplies.
template <typename X, bool First>
void accumulate(const X* x, std::int64_t stride, std::int64_t count, int shift,
                std::int64_t* __restrict totals) {
    if (shift <= 0) {
        const std::int64_t factor = std::int64_t{1} << -shift;
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t value = static_cast<std::int64_t>(x[i * stride]) * factor;
            totals[i] = First ? value : totals[i] + value;
        }
        return;
    }
    const requantize::ShiftRounding<std::int64_t> round(shift);
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t value = round(x[i * stride]);
        totals[i] = First ? value : totals[i] + value;
    }
}

template <bool First>
void accumulate_operand(const DynamicOperand& operand, const std::uint8_t* values,
                        std::int64_t offset, std::int64_t stride, std::int64_t count, int shift,
                        std::int64_t* totals) {
    switch (operand.type) {
        case ElementType::u8:
            return accumulate<std::uint8_t, First>(values + offset, stride, count, shift, totals);
        case ElementType::s8:
            return accumulate<std::int8_t, First>(
                reinterpret_cast<const std::int8_t*>(values) + offset, stride, count, shift,
                totals);
        case ElementType::s32:
            return accumulate<std::int32_t, First>(
                reinterpret_cast<const std::int32_t*>(values) + offset, stride, count, shift,
                totals);
    }
}

// A real bound in units of 2**unit; beyond every sum it only keeps its sign.
std::int64_t bound_in_units(const RealBound& bound, std::int64_t unit) {
    const std::int64_t shift = unit - bound.exponent;
    if (shift > 0) {
        return shift_round_half_even(bound.mantissa,
                                     static_cast<int>(std::min<std::int64_t>(shift, 62)));
    }
    const std::int64_t left = std::min<std::int64_t>(-shift, 62);
    if (std::llabs(bound.mantissa) > kUnreachable >> left) {
        return bound.mantissa < 0 ? -kUnreachable : kUnreachable;
    }
    return bound.mantissa * (std::int64_t{1} << left);
}

// Calls visit(image, row, begin, size) for every chunk of this worker's share of the rows.
template <typename Visit>
void for_chunks(const DynamicSum& sum, const Worker& worker, Visit&& visit) {
    const std::int64_t chunks = pieces(sum.row_size(), kChunk);
    const Range part = share(sum.rows() * chunks, worker);
    for (std::int64_t item = part.begin; item < part.end; ++item) {
        const std::int64_t row = item / chunks, begin = item % chunks * kChunk;
        visit(row / sum.rows_per_image(), row, begin, std::min(kChunk, sum.row_size() - begin));
    }
}

}  // namespace

DynamicSum::DynamicSum(std::vector<std::int64_t> sizes, std::vector<DynamicOperand> operands,
                       std::optional<RealBound> minimum, std::optional<RealBound> maximum)
    : sizes_(std::move(sizes)),
      operands_(std::move(operands)),
      minimum_(minimum),
      maximum_(maximum) {
    require(!sizes_.empty(), "a sum needs a batch axis");
    require(!operands_.empty() && operands_.size() <= 3, "a sum has one to three operands");
    checked_product(sizes_);
    batch_ = sizes_[0];
    std::vector<Strides*> views;
    for (DynamicOperand& operand : operands_) {
        const std::int64_t needed =
            view_extent(sizes_, 0, operand.strides) * element_bytes(operand.type);
        require(static_cast<std::uint64_t>(needed) <= operand.values.bytes(),
                "an operand is larger than its buffer");
        operand.exponent.check(batch_);
        if (operand.exponent.per_image) {
            const std::int64_t images = operand.exponent.images;
            require(operand.exponent.per_image->bytes() >= static_cast<std::uint64_t>(images) * 4,
                    "a buffer of exponents is too small");
        }
        views.push_back(&operand.strides);
    }
    for (const std::optional<RealBound>& bound : {minimum_, maximum_}) {
        if (!bound) continue;
        require(within(bound->mantissa, (1 << 30) - 1) && within(bound->exponent, kLargestExponent),
                "a bound is out of range");
    }
    if (sizes_.size() == 1) {
        sizes_.push_back(1);
        for (Strides* view : views) view->push_back(0);
    }
    merge_axes(sizes_, views, 1);
    rows_ = row_count(sizes_);
}

std::vector<Buffer> DynamicSum::buffers() const {
    std::vector<Buffer> all;
    for (const DynamicOperand& operand : operands_) {
        all.push_back(operand.values);
        if (operand.exponent.per_image) all.push_back(*operand.exponent.per_image);
    }
    return all;
}

DynamicSum::Alignment DynamicSum::align(const Frame& frame, std::int64_t image) const {
    std::int64_t exponents[3] = {};
    std::int64_t coarsest = INT32_MIN, finest = INT32_MAX;
    const auto include = [&](std::int64_t exponent) {
        coarsest = std::max(coarsest, exponent);
        finest = std::min(finest, exponent);
    };
    for (std::size_t i = 0; i < operands_.size(); ++i) {
        exponents[i] = operands_[i].exponent.of(frame, image);
        include(exponents[i]);
    }
    if (coarsest - finest > kAlignmentLimit) {  // else the unit is the finest, whatever is zero
        coarsest = INT32_MIN;
        for (std::size_t i = 0; i < operands_.size(); ++i) {
            if (exponents[i] > coarsest && is_present(operands_[i], frame, image)) {
                coarsest = exponents[i];
            }
        }
    }
    // Bounds are met exactly, so they may ask for a finer unit. A coarser one only where every sum
    // is moved to the bound: else a bound that no sum reaches would round the sums away.
    if (minimum_ && minimum_->mantissa != 0) {
        finest = std::min<std::int64_t>(finest, minimum_->exponent);
        if (minimum_->mantissa > 0) coarsest = std::max<std::int64_t>(coarsest, minimum_->exponent);
    }
    if (maximum_ && maximum_->mantissa != 0) {
        finest = std::min<std::int64_t>(finest, maximum_->exponent);
        if (maximum_->mantissa < 0) coarsest = std::max<std::int64_t>(coarsest, maximum_->exponent);
    }

    Alignment alignment;
    alignment.unit = std::max(finest, coarsest - kAlignmentLimit);
    const auto shift_from = [&](std::int64_t exponent) {
        // Only zeros would be moved further to the left.
        return static_cast<int>(
            clamp<std::int64_t>(alignment.unit - exponent, -kAlignmentLimit, 62));
    };
    for (std::size_t i = 0; i < operands_.size(); ++i) {
        alignment.shifts[i] = shift_from(exponents[i]);
    }
    if (minimum_) alignment.minimum = bound_in_units(*minimum_, alignment.unit);
    if (maximum_) alignment.maximum = bound_in_units(*maximum_, alignment.unit);
    alignment.narrow = is_narrow(alignment);
    return alignment;
}

bool DynamicSum::is_present(const DynamicOperand& operand, const Frame& frame,
                            std::int64_t image) const {
    const std::uint8_t* values = operand.values.read(frame);
    const std::int64_t bytes = element_bytes(operand.type), stride = operand.strides.back();
    const Strides* const views[] = {&operand.strides};
    for (std::int64_t row = image * rows_per_image(); row < (image + 1) * rows_per_image(); ++row) {
        std::int64_t offsets[1];
        row_offsets(sizes_, views, row, offsets);
        const std::uint8_t* element = values + offsets[0] * bytes;
        for (std::int64_t i = 0; i < (stride == 0 ? 1 : row_size()); ++i) {
            for (std::int64_t b = 0; b < bytes; ++b) {
                if (element[i * stride * bytes + b] != 0) return true;
            }
        }
    }
    return false;
}

bool DynamicSum::is_narrow(const Alignment& alignment) const {
    constexpr std::int64_t kLimit = std::int64_t{1} << 30;
    std::int64_t largest = 0;
    for (std::size_t i = 0; i < operands_.size(); ++i) {
        const int shift = -alignment.shifts[i];
        const std::int64_t stride = operands_[i].strides.back();
        if (shift < 0 || shift > 29 || stride > 1) return false;
        largest += operands_[i].largest << shift;
    }
    return largest < kLimit && alignment.minimum < kLimit && alignment.maximum > -kLimit;
}

void DynamicSum::compute_narrow(const Frame& frame, const Alignment& alignment, std::int64_t row,
                                std::int64_t begin, std::int64_t count,
                                const kernels::ElementKernels& kernels,
                                std::int32_t* totals) const {
    kernels::NarrowTerm terms[3];
    for (std::size_t i = 0; i < operands_.size(); ++i) {
        const DynamicOperand& operand = operands_[i];
        const Strides* const views[] = {&operand.strides};
        std::int64_t offsets[1];
        row_offsets(sizes_, views, row, offsets);
        const std::int64_t stride = operand.strides.back();
        terms[i].values = operand.values.read(frame) +
                          (offsets[0] + begin * stride) * element_bytes(operand.type);
        terms[i].type = operand.type == ElementType::u8   ? kernels::NarrowTerm::Type::u8
                        : operand.type == ElementType::s8 ? kernels::NarrowTerm::Type::s8
                                                          : kernels::NarrowTerm::Type::s32;
        terms[i].step = static_cast<int>(stride);
        terms[i].shift = -alignment.shifts[i];
    }
    constexpr std::int64_t kLimit = std::int64_t{1} << 30;
    kernels.narrow_sum(terms, static_cast<int>(operands_.size()), count,
                       static_cast<std::int32_t>(std::max(alignment.minimum, -kLimit)),
                       static_cast<std::int32_t>(std::min(alignment.maximum, kLimit)), totals);
}

void DynamicSum::compute(const Frame& frame, const Alignment& alignment, std::int64_t row,
                         std::int64_t begin, std::int64_t count, std::int64_t* totals) const {
    for (std::size_t i = 0; i < operands_.size(); ++i) {
        const DynamicOperand& operand = operands_[i];
        const std::uint8_t* values = operand.values.read(frame);
        const Strides* const views[] = {&operand.strides};
        std::int64_t offsets[1];
        row_offsets(sizes_, views, row, offsets);
        const std::int64_t stride = operand.strides.back();
        const std::int64_t offset = offsets[0] + begin * stride;
        if (i == 0) {
            accumulate_operand<true>(operand, values, offset, stride, count, alignment.shifts[i],
                                     totals);
        } else {
            accumulate_operand<false>(operand, values, offset, stride, count, alignment.shifts[i],
                                      totals);
        }
    }
    // As in the definition: the lower bound first.
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t raised = std::max(totals[i], alignment.minimum);
        totals[i] = std::min(raised, alignment.maximum);
    }
}

void DynamicLargest::run(const Frame& frame, const Worker& worker) const {
    std::uint64_t* const largest_of = slots(frame);
    std::int64_t current = -1;
    std::uint64_t largest = 0;
    DynamicSum::Alignment alignment;
    for_chunks(sum_, worker,
               [&](std::int64_t image, std::int64_t row, std::int64_t begin, std::int64_t count) {
                   if (image != current) {
                       if (current >= 0) raise_to(largest_of + current, largest);
                       current = image;
                       largest = 0;
                       alignment = sum_.align(frame, image);
                   }
                   if (alignment.narrow) {
                       std::int32_t totals[kChunk];
                       sum_.compute_narrow(frame, alignment, row, begin, count, worker.kernels,
                                           totals);
                       const std::int32_t highest = worker.kernels.largest_total(totals, count);
                       largest = std::max(largest, static_cast<std::uint64_t>(highest));
                       return;
                   }
                   std::int64_t totals[kChunk];
                   sum_.compute(frame, alignment, row, begin, count, totals);
                   std::int64_t highest = 0;
                   for (std::int64_t i = 0; i < count; ++i) {
                       const std::int64_t magnitude = totals[i] < 0 ? -totals[i] : totals[i];
                       highest = highest > magnitude ? highest : magnitude;
                   }
                   largest = std::max(largest, static_cast<std::uint64_t>(highest));
               });
    if (current >= 0) raise_to(largest_of + current, largest);
}

void DynamicRound::run(const Frame& frame, const Worker& worker) const {
    const auto chosen = [&](std::int64_t image, std::int64_t unit) {
        return exponent_of(frame, image, [&](std::uint64_t largest) {
            if (largest == 0) return kLowestExponent;
            return choose_exponent(63 - __builtin_clzll(largest) + unit, exponent_.is_signed);
        });
    };
    write_exponents(frame, worker, [&](std::int64_t image) {
        return chosen(image, sum_.align(frame, image).unit);
    });
    std::uint8_t* out = out_.write(frame);
    std::int64_t current = -1;
    int shift = 0;
    DynamicSum::Alignment alignment;
    for_chunks(
        sum_, worker,
        [&](std::int64_t image, std::int64_t row, std::int64_t begin, std::int64_t count) {
            if (image != current) {
                current = image;
                alignment = sum_.align(frame, image);
                shift = static_cast<int>(
                    clamp<std::int64_t>(chosen(image, alignment.unit) - alignment.unit, -40, 62));
            }
            std::uint8_t* target = out + row * sum_.row_size() + begin;
            if (alignment.narrow && shift >= 0 && shift <= 30) {
                std::int32_t totals[kChunk];
                sum_.compute_narrow(frame, alignment, row, begin, count, worker.kernels, totals);
                worker.kernels.narrow_round(totals, count, shift, low_, high_, target);
                return;
            }
            std::int64_t totals[kChunk];
            sum_.compute(frame, alignment, row, begin, count, totals);
            if (shift > 0) {
                const requantize::SumTo8Bit<std::int64_t> to_8_bit(shift, 0, low_, high_);
                for (std::int64_t i = 0; i < count; ++i) target[i] = to_8_bit(totals[i]);
            } else {
                // Towards a finer exponent every magnitude of 512 and more saturates.
                const std::int64_t factor = std::int64_t{1} << -shift;
                for (std::int64_t i = 0; i < count; ++i) {
                    const std::int64_t small =
                        shift < 0 ? clamp<std::int64_t>(totals[i], -512, 512) : totals[i];
                    target[i] =
                        static_cast<std::uint8_t>(clamp<std::int64_t>(small * factor, low_, high_));
                }
            }
        });
}

void DynamicFloat::run(const Frame& frame, const Worker& worker) const {
    float* out = reinterpret_cast<float*>(out_.write(frame));
    std::int64_t current = -1;
    float scale = 0;
    DynamicSum::Alignment alignment;
    for_chunks(sum_, worker,
               [&](std::int64_t image, std::int64_t row, std::int64_t begin, std::int64_t count) {
                   if (image != current) {
                       current = image;
                       alignment = sum_.align(frame, image);
                       scale =
                           static_cast<float>(std::ldexp(1.0, static_cast<int>(alignment.unit)));
                   }
                   std::int64_t totals[kChunk];
                   sum_.compute(frame, alignment, row, begin, count, totals);
                   float* target = out + row * sum_.row_size() + begin;
                   for (std::int64_t i = 0; i < count; ++i) {
                       target[i] = static_cast<float>(totals[i]) * scale;
                   }
               });
}

}  // namespace sub8::executor
