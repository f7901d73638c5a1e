// The loops of ElementKernels in plain C++, compiled once per instruction set: the including file's
// flags and the compiler's vectoriser make the difference. So nothing here may come from a header
// as a plain inline function: the linker could pick the copy with the wrong flags.

#include <cstdint>

#include "kernels/elements.h"
#include "requantize/scalar.h"

namespace sub8::kernels {
namespace {

using i8 = std::int8_t;
using u8 = std::uint8_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

using requantize::clamp;

// Adding and taking away 1.5 * 2**23 rounds half to even every float below 2**22 in magnitude.
constexpr float kRounder = 12582912.0F;

// Divides: x / scale; or, by a power of two, multiplies with its inverse, which is the same and
// takes a fraction of the time.
template <bool Divides>
inline void quantize_by(const float* __restrict x, i64 count, float factor, int zero_point, int low,
                        int high, u8* __restrict out) {
    const float lowest = static_cast<float>(low - zero_point);
    const float highest = static_cast<float>(high - zero_point);
    for (i64 i = 0; i < count; ++i) {
        // Clamping to integers before rounding gives the same as after, and tames infinities.
        float value = Divides ? x[i] / factor : x[i] * factor;
        value = value > lowest ? value : lowest;
        value = value < highest ? value : highest;
        const float rounded = (value + kRounder) - kRounder;
        out[i] = static_cast<u8>(static_cast<i32>(rounded) + zero_point);
    }
}

// Whether a positive number and its inverse are normal powers of two.
inline bool is_power_of_two(float value) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    const std::uint32_t exponent = bits >> 23;
    return (bits & 0x7fffff) == 0 && exponent >= 1 && exponent <= 253;
}

inline void quantize(const float* x, i64 count, float scale, int zero_point, int low, int high,
                     u8* out) {
    is_power_of_two(scale) ? quantize_by<false>(x, count, 1.0F / scale, zero_point, low, high, out)
                           : quantize_by<true>(x, count, scale, zero_point, low, high, out);
}

template <int Channels>
inline void interleave_some(const u8* __restrict planes, i64 stride, i64 count,
                            u8* __restrict out) {
    for (i64 i = 0; i < count; ++i) {
        for (int channel = 0; channel < Channels; ++channel) {
            out[i * Channels + channel] = planes[channel * stride + i];
        }
    }
}

inline void interleave(const u8* planes, i64 stride, i64 channels, i64 count, u8* out,
                       i64 out_stride) {
    if (channels == out_stride) {
        if (channels == 3) return interleave_some<3>(planes, stride, count, out);
        if (channels == 4) return interleave_some<4>(planes, stride, count, out);
    }
    for (i64 channel = 0; channel < channels; ++channel) {
        const u8* plane = planes + channel * stride;
        for (i64 i = 0; i < count; ++i) out[i * out_stride + channel] = plane[i];
    }
}

template <typename X>
inline void dequantize_as(const u8* __restrict bytes, i64 count, int zero_point, float scale,
                          float* __restrict out) {
    const X* x = reinterpret_cast<const X*>(bytes);
    for (i64 i = 0; i < count; ++i) {
        out[i] = static_cast<float>(static_cast<i32>(x[i]) - zero_point) * scale;
    }
}

inline void dequantize(const u8* x, i64 count, bool is_signed, int zero_point, float scale,
                       float* out) {
    is_signed ? dequantize_as<i8>(x, count, zero_point, scale, out)
              : dequantize_as<u8>(x, count, zero_point, scale, out);
}

template <typename T, typename A, typename B, int StepB, bool Product>
inline void binary_as(const A* __restrict a, const B* __restrict b, i64 count,
                      const BinaryArithmetic& k, u8* __restrict out) {
    const T multiplier_a = static_cast<T>(k.multiplier_a);
    const T multiplier_b = static_cast<T>(k.multiplier_b);
    const T offset = static_cast<T>(k.offset);
    const T zero_a = k.zero_a, zero_b = k.zero_b;
    const ResultRange& r = k.result;
    const requantize::SumTo8Bit<T> to_8_bit(r.shift, r.zero_point, r.low, r.high);
    for (i64 i = 0; i < count; ++i) {
        const T left = a[i], right = b[i * StepB];
        const T total = Product ? (left - zero_a) * (right - zero_b) * multiplier_a
                                : left * multiplier_a + right * multiplier_b + offset;
        out[i] = to_8_bit(total);
    }
}

template <typename T, typename A, typename B>
inline void binary_step(const A* a, const B* b, int step_b, i64 count, const BinaryArithmetic& k,
                        u8* out) {
    if (k.product) {
        return step_b == 1 ? binary_as<T, A, B, 1, true>(a, b, count, k, out)
                           : binary_as<T, A, B, 0, true>(a, b, count, k, out);
    }
    return step_b == 1 ? binary_as<T, A, B, 1, false>(a, b, count, k, out)
                       : binary_as<T, A, B, 0, false>(a, b, count, k, out);
}

template <typename T>
inline void binary_width(const u8* a, const u8* b, int step_b, i64 count, const BinaryArithmetic& k,
                         u8* out) {
    const i8* sa = reinterpret_cast<const i8*>(a);
    const i8* sb = reinterpret_cast<const i8*>(b);
    if (k.signed_a && k.signed_b) return binary_step<T>(sa, sb, step_b, count, k, out);
    if (k.signed_a) return binary_step<T>(sa, b, step_b, count, k, out);
    if (k.signed_b) return binary_step<T>(a, sb, step_b, count, k, out);
    return binary_step<T>(a, b, step_b, count, k, out);
}

// The same with its operands in each other's place; a product has one multiplier.
inline BinaryArithmetic turned(const BinaryArithmetic& k) {
    BinaryArithmetic t = k;
    if (!k.product) t.multiplier_a = k.multiplier_b, t.multiplier_b = k.multiplier_a;
    t.zero_a = k.zero_b, t.zero_b = k.zero_a;
    t.signed_a = k.signed_b, t.signed_b = k.signed_a;
    return t;
}

inline void binary(const u8* a, int step_a, const u8* b, int step_b, i64 count,
                   const BinaryArithmetic& k, u8* out) {
    if (step_a == 0 && step_b == 1) return binary(b, 1, a, 0, count, turned(k), out);
    if (step_a == 0 && count > 1) {
        binary(a, 1, b, 1, 1, k, out);
        for (i64 i = 1; i < count; ++i) out[i] = out[0];
        return;
    }
    k.narrow ? binary_width<i32>(a, b, step_b, count, k, out)
             : binary_width<i64>(a, b, step_b, count, k, out);
}

inline void look_up(const u8* x, i64 rows, i64 columns, i64 pitch, const ByteFunction& function,
                    u8* out) {
    for (i64 row = 0; row < rows; ++row, x += pitch, out += pitch) {
        for (i64 i = 0; i < columns; ++i) out[i] = function.entries[x[i]];
    }
}

// Of `Columns` columns, which the compiler so knows to be whole vectors; 0: of `count`.
template <typename X, int Columns>
inline void bend_columns(u8* __restrict bytes, i64 count, const float* __restrict below,
                         const float* __restrict above, const Bend& k) {
    const i64 columns = Columns > 0 ? Columns : count;
    const i32 knee = k.knee, zero_point = k.zero_point;
    const float lowest = static_cast<float>(k.low - zero_point);
    const float highest = static_cast<float>(k.high - zero_point);
    for (i64 i = 0; i < columns; ++i) {
        const float x = static_cast<float>(static_cast<i32>(static_cast<X>(bytes[i])) - knee);
        float value = x * (x < 0.0F ? below[i] : above[i]);
        value = value > lowest ? value : lowest;
        value = value < highest ? value : highest;
        const float rounded = (value + kRounder) - kRounder;
        bytes[i] = static_cast<u8>(static_cast<i32>(rounded) + zero_point);
    }
}

template <typename X>
inline void bend_as(u8* bytes, i64 rows, i64 columns, i64 pitch, const float* below,
                    const float* above, const Bend& bend) {
    const Bend k = bend;
    for (i64 row = 0; row < rows; ++row, bytes += pitch) {
        i64 i = 0;
        for (; i + 64 <= columns; i += 64)
            bend_columns<X, 64>(bytes + i, 0, below + i, above + i, k);
        for (; i + 32 <= columns; i += 32)
            bend_columns<X, 32>(bytes + i, 0, below + i, above + i, k);
        for (; i + 16 <= columns; i += 16)
            bend_columns<X, 16>(bytes + i, 0, below + i, above + i, k);
        bend_columns<X, 0>(bytes + i, columns - i, below + i, above + i, k);
    }
}

inline void bend(u8* x, i64 rows, i64 columns, i64 pitch, const float* below, const float* above,
                 const Bend& k) {
    k.is_signed ? bend_as<i8>(x, rows, columns, pitch, below, above, k)
                : bend_as<u8>(x, rows, columns, pitch, below, above, k);
}

#ifndef SUB8_ELEMENT_BYTES
#define SUB8_ELEMENT_BYTES 32
#endif

// Vectors of the compiler's own kind: it keeps them in registers, where it would keep arrays in
// memory. Two at a time, or one; where the columns end. An array of two would go through the stack
// in halves.
template <typename X, int bytes, bool two>
inline i64 largest_in_vectors(const u8* const* rows, int row_count, i64 begin, i64 end,
                              u8* __restrict out) {
    typedef X Vector __attribute__((vector_size(bytes)));
    typedef X Unaligned __attribute__((vector_size(bytes), aligned(1), may_alias));
    constexpr i64 kSecond = two ? bytes : 0;
    const auto at = [](const u8* from) { return reinterpret_cast<const Unaligned*>(from); };
    for (; begin + kSecond + bytes <= end; begin += kSecond + bytes) {
        Vector first = *at(rows[0] + begin), second = *at(rows[0] + begin + kSecond);
        for (int row = 1; row < row_count; ++row) {
            const Vector x = *at(rows[row] + begin);
            first = first > x ? first : x;
            if (two) {
                const Vector y = *at(rows[row] + begin + kSecond);
                second = second > y ? second : y;
            }
        }
        __builtin_memcpy(out + begin, &first, sizeof first);
        if (two) __builtin_memcpy(out + begin + kSecond, &second, sizeof second);
    }
    return begin;
}

template <typename X>
inline void largest_as(const u8* const* rows, int row_count, i64 count, u8* __restrict bytes) {
    constexpr int kVector = SUB8_ELEMENT_BYTES;
    i64 begin = largest_in_vectors<X, kVector, true>(rows, row_count, 0, count, bytes);
    begin = largest_in_vectors<X, kVector, false>(rows, row_count, begin, count, bytes);
    begin = largest_in_vectors<X, 16, false>(rows, row_count, begin, count, bytes);
    X* out = reinterpret_cast<X*>(bytes);
    for (i64 i = begin; i < count; ++i) {
        X best = reinterpret_cast<const X*>(rows[0])[i];
        for (int row = 1; row < row_count; ++row) {
            const X value = reinterpret_cast<const X*>(rows[row])[i];
            best = best > value ? best : value;
        }
        out[i] = best;
    }
}

inline void largest_of_rows(const u8* const* rows, int row_count, i64 count, bool is_signed,
                            u8* out) {
    is_signed ? largest_as<i8>(rows, row_count, count, out)
              : largest_as<u8>(rows, row_count, count, out);
}

template <typename X>
inline void add_rows_as(const u8* bytes, i64 rows, i64 stride, i64 count, i32* __restrict sums) {
    for (i64 row = 0; row < rows; ++row) {
        const X* x = reinterpret_cast<const X*>(bytes + row * stride);
        for (i64 i = 0; i < count; ++i) sums[i] += x[i];
    }
}

inline void add_rows(const u8* x, i64 rows, i64 stride, i64 count, bool is_signed, i32* sums) {
    is_signed ? add_rows_as<i8>(x, rows, stride, count, sums)
              : add_rows_as<u8>(x, rows, stride, count, sums);
}

inline std::uint32_t largest_magnitude(const float* x, i64 count) {
    // The bits of non-negative floats are ordered as the floats.
    i32 largest = 0;
    for (i64 i = 0; i < count; ++i) {
        i32 bits;
        __builtin_memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        largest = largest > bits ? largest : bits;
    }
    return static_cast<std::uint32_t>(largest);
}

template <typename X, int Step, bool First>
inline void add_term_as(const X* __restrict x, int shift, i64 count, i32* __restrict totals) {
    // Unsigned, so that the sums of a damaged file wrap around.
    const std::uint32_t factor = std::uint32_t{1} << shift;
    for (i64 i = 0; i < count; ++i) {
        const std::uint32_t value = static_cast<std::uint32_t>(x[i * Step]) * factor;
        totals[i] = static_cast<i32>(First ? value : static_cast<std::uint32_t>(totals[i]) + value);
    }
}

template <typename X, bool First>
inline void add_term_step(const NarrowTerm& term, i64 count, i32* totals) {
    const X* x = static_cast<const X*>(term.values);
    term.step == 1 ? add_term_as<X, 1, First>(x, term.shift, count, totals)
                   : add_term_as<X, 0, First>(x, term.shift, count, totals);
}

template <bool First>
inline void add_term(const NarrowTerm& term, i64 count, i32* totals) {
    switch (term.type) {
        case NarrowTerm::Type::u8:
            return add_term_step<u8, First>(term, count, totals);
        case NarrowTerm::Type::s8:
            return add_term_step<i8, First>(term, count, totals);
        case NarrowTerm::Type::s32:
            return add_term_step<i32, First>(term, count, totals);
    }
}

inline void narrow_sum(const NarrowTerm* terms, int term_count, i64 count, i32 minimum, i32 maximum,
                       i32* totals) {
    add_term<true>(terms[0], count, totals);
    for (int term = 1; term < term_count; ++term) add_term<false>(terms[term], count, totals);
    for (i64 i = 0; i < count; ++i) totals[i] = clamp(totals[i], minimum, maximum);
}

inline i32 largest_total(const i32* totals, i64 count) {
    i32 largest = 0;
    for (i64 i = 0; i < count; ++i) {
        const auto bits = static_cast<std::uint32_t>(totals[i]);
        const i32 magnitude = static_cast<i32>(totals[i] < 0 ? 0 - bits : bits);
        largest = largest > magnitude ? largest : magnitude;
    }
    return largest;
}

inline void narrow_round(const i32* __restrict totals, i64 count, int shift, int low, int high,
                         u8* __restrict out) {
    const requantize::SumTo8Bit<i32> to_8_bit(shift, 0, low, high);
    for (i64 i = 0; i < count; ++i) out[i] = to_8_bit(totals[i]);
}

// clamp(rint(x * inverse_scale), low, high); NaN to the lowest.
inline u8 to_result(float x, float inverse_scale, float low, float high) {
    float value = x * inverse_scale;
    value = value > low ? value : low;
    value = value < high ? value : high;
    return static_cast<u8>(static_cast<i32>((value + kRounder) - kRounder));
}

inline float largest_of(const float* x, i64 count) {
    typedef float Vector __attribute__((vector_size(SUB8_ELEMENT_BYTES)));
    constexpr i64 kLanes = sizeof(Vector) / sizeof(float);
    Vector lanes = {};
    lanes += x[0];
    i64 i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        Vector next;
        __builtin_memcpy(&next, x + i, sizeof next);
        lanes = lanes > next ? lanes : next;
    }
    float largest = lanes[0];
    for (i64 lane = 1; lane < kLanes; ++lane) {
        largest = largest > lanes[lane] ? largest : lanes[lane];
    }
    for (; i < count; ++i) largest = largest > x[i] ? largest : x[i];
    return largest;
}

inline void softmax(const float* __restrict x, const float* __restrict addend, i64 size,
                    const SoftmaxArithmetic& k, float* __restrict scaled, i32* __restrict parts,
                    u8* __restrict out) {
    constexpr float kLast = kExponentials - 1;
    const float factor = k.factor;
    if (addend == nullptr) {
        for (i64 i = 0; i < size; ++i) scaled[i] = x[i] * factor;
    } else {
        for (i64 i = 0; i < size; ++i) scaled[i] = x[i] * factor + addend[i];
    }
    const float largest = largest_of(scaled, size);
    for (i64 i = 0; i < size; ++i) {
        const float below = largest - scaled[i];
        // Also of NaN, behind which the largest may be too small, the table holds something.
        float steps = below < kLast ? below : kLast;
        steps = steps > 0.0F ? steps : 0.0F;
        parts[i] = static_cast<i32>((steps + kRounder) - kRounder);
    }
    i64 total = 0;
    for (i64 i = 0; i < size; ++i) {
        const i32 part = k.exponentials[parts[i]];
        parts[i] = part;
        total += part;
    }
    const float divisor = static_cast<float>(total), inverse_scale = k.result.inverse_scale;
    const float low = static_cast<float>(k.result.low), high = static_cast<float>(k.result.high);
    for (i64 i = 0; i < size; ++i) {
        out[i] = to_result(static_cast<float>(parts[i]) / divisor, inverse_scale, low, high);
    }
}

template <typename X>
inline void normalise_as(const X* __restrict x, i64 size, const NormArithmetic& k,
                         u8* __restrict out) {
    constexpr i64 kSquares = 65536;  // that 32 bits hold the sum of
    i32 total = 0;
    i64 all_squares = 0;
    for (i64 begin = 0; begin < size; begin += kSquares) {
        const i64 end = size - begin < kSquares ? size : begin + kSquares;
        std::uint32_t squares = 0;
        for (i64 i = begin; i < end; ++i) {
            const i32 value = x[i];
            total += value;
            squares += static_cast<std::uint32_t>(value * value);
        }
        all_squares += squares;
    }
    const i64 spread = size * all_squares - static_cast<i64>(total) * total;
    const double unit = k.scale;
    const double variance = static_cast<double>(spread) * (unit * unit) + k.least;
    const float inverse = static_cast<float>(1.0 / __builtin_sqrt(variance));
    const float count = static_cast<float>(size), sum = static_cast<float>(total);
    const float scale = k.scale, inverse_scale = k.result.inverse_scale;
    const float low = static_cast<float>(k.result.low), high = static_cast<float>(k.result.high);
    const float* __restrict gamma = k.gamma;
    const float* __restrict beta = k.beta;
    for (i64 i = 0; i < size; ++i) {
        const float centred = (static_cast<float>(x[i]) * count - sum) * scale;
        out[i] = to_result(centred * inverse * gamma[i] + beta[i], inverse_scale, low, high);
    }
}

inline void normalise_row(const u8* x, i64 size, const NormArithmetic& k, u8* out) {
    k.is_signed ? normalise_as(reinterpret_cast<const i8*>(x), size, k, out)
                : normalise_as(x, size, k, out);
}

}  // namespace
}  // namespace sub8::kernels

#define SUB8_ELEMENT_KERNELS                                                                       \
    {                                                                                              \
        quantize,        interleave,   dequantize,        binary,     look_up,       bend,         \
        largest_of_rows, add_rows,     largest_magnitude, narrow_sum, largest_total, narrow_round, \
        softmax,         normalise_row}
