#include "executor/binary.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "executor/strided.h"
#include "numeric.h"

namespace sub8::executor {
namespace {

constexpr std::int64_t kChunk = 1 << 14;
// Shorter rows beside one that repeats (a factor of each channel) are taken several at a time.
constexpr std::int64_t kShort = 256, kCopies = 1024;

// Largest magnitude of the sum that is rounded; throws where it could pass 2**62.
double largest_total(const kernels::BinaryArithmetic& k) {
    const double a = static_cast<double>(std::llabs(k.multiplier_a));
    const double b = static_cast<double>(std::llabs(k.multiplier_b));
    const double offset = static_cast<double>(std::llabs(k.offset));
    const double total = k.product ? 255.0 * 255.0 * a : 255.0 * (a + b) + offset;
    require(total < 4.7e18, "multipliers lead past 64-bit sums");
    return total;
}

void check(const kernels::BinaryArithmetic& k) {
    require(k.result.shift >= 0 && k.result.shift <= 62, "a shift must lie in 0..62");
    require_8_bit_limits(k.result.low, k.result.high);
    for (const int zero : {k.zero_a, k.zero_b, k.result.zero_point}) {
        require(zero >= -128 && zero <= 255, "a zero point must fit 8 bits");
    }
    require(k.offset > INT64_MIN && k.multiplier_a > INT64_MIN && k.multiplier_b > INT64_MIN,
            "a multiplier is out of range");
}

}  // namespace

Binary::Binary(const Buffer& a, std::vector<std::int64_t> strides_a, const Buffer& b,
               std::vector<std::int64_t> strides_b, const Buffer& out,
               std::vector<std::int64_t> sizes, const kernels::BinaryArithmetic& arithmetic)
    : a_(a),
      b_(b),
      out_(out),
      strides_a_(std::move(strides_a)),
      strides_b_(std::move(strides_b)),
      sizes_(std::move(sizes)),
      arithmetic_(arithmetic) {
    check(arithmetic_);
    const double total = largest_total(arithmetic_);
    arithmetic_.narrow = total < 1073741824.0 && arithmetic_.result.shift <= 30;
    const std::int64_t count = checked_product(sizes_);
    if (sizes_.empty()) {
        sizes_.push_back(1);
        strides_a_.push_back(0);
        strides_b_.push_back(0);
    }
    reading(a, view_extent(sizes_, 0, strides_a_));
    reading(b, view_extent(sizes_, 0, strides_b_));
    writing(out, count);
    merge_axes(sizes_, {&strides_a_, &strides_b_});
    if (strides_a_.back() > 1 || strides_b_.back() > 1) {
        sizes_.push_back(1);
        strides_a_.push_back(0);
        strides_b_.push_back(0);
    }
}

// The operand whose rows repeat, 0 or 1, where the other's follow each other; else -1.
int Binary::repeated() const {
    const std::size_t axes = sizes_.size();
    const std::int64_t length = sizes_.back();
    const bool rows = strides_a_.back() == 1 && strides_b_.back() == 1;
    if (axes < 2 || length < 1 || length >= kShort || sizes_[axes - 2] < 1 || !rows) return -1;
    const std::int64_t a = strides_a_[axes - 2], b = strides_b_[axes - 2];
    if (a == 0 && b == length) return 0;
    return b == 0 && a == length ? 1 : -1;
}

void Binary::run_short_rows(const Frame& frame, const Worker& worker, int repeated) const {
    const std::uint8_t* const operands[] = {a_.read(frame), b_.read(frame)};
    std::uint8_t* out = out_.write(frame);
    const std::int64_t length = sizes_.back(), rows = sizes_[sizes_.size() - 2];
    const std::int64_t most = std::min(kCopies / length, rows), groups = pieces(rows, most);
    const Strides* const views[] = {&strides_a_, &strides_b_};
    std::array<std::uint8_t, kCopies> copies;
    std::int64_t copied = -1;
    const Range part = share(row_count(sizes_) / rows * groups, worker);
    for (std::int64_t item = part.begin; item < part.end; ++item) {
        const std::int64_t plane = item / groups, first = item % groups * most;
        const std::int64_t size = (rows - first < most ? rows - first : most) * length;
        std::int64_t offsets[2];
        row_offsets(sizes_, views, plane * rows + first, offsets);
        if (plane != copied) {
            const std::uint8_t* row = operands[repeated] + offsets[repeated];
            for (std::int64_t copy = 0; copy < most; ++copy) {
                std::memcpy(copies.data() + copy * length, row, std::size_t(length));
            }
            copied = plane;
        }
        const std::uint8_t* a = repeated == 0 ? copies.data() : operands[0] + offsets[0];
        const std::uint8_t* b = repeated == 1 ? copies.data() : operands[1] + offsets[1];
        worker.kernels.binary(a, 1, b, 1, size, arithmetic_, out + (plane * rows + first) * length);
    }
}

void Binary::run(const Frame& frame, const Worker& worker) const {
    if (const int operand = repeated(); operand >= 0) {
        return run_short_rows(frame, worker, operand);
    }
    const std::uint8_t* a = a_.read(frame);
    const std::uint8_t* b = b_.read(frame);
    std::uint8_t* out = out_.write(frame);
    const std::int64_t count = sizes_.back();
    const int step_a = static_cast<int>(strides_a_.back());
    const int step_b = static_cast<int>(strides_b_.back());
    const Strides* const views[] = {&strides_a_, &strides_b_};
    const std::int64_t chunks = pieces(count, kChunk);
    const Range part = share(row_count(sizes_) * chunks, worker);
    for (std::int64_t item = part.begin; item < part.end; ++item) {
        const std::int64_t row = item / chunks, begin = item % chunks * kChunk;
        const std::int64_t size = count - begin < kChunk ? count - begin : kChunk;
        std::int64_t offsets[2];
        row_offsets(sizes_, views, row, offsets);
        worker.kernels.binary(a + offsets[0] + begin * step_a, step_a,
                              b + offsets[1] + begin * step_b, step_b, size, arithmetic_,
                              out + row * count + begin);
    }
}

}  // namespace sub8::executor
