// requantize::SumTo8Bit in vectors: 16 outputs at a time, a last 8 too (x86 AVX2).
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::avx2 {
namespace {

inline __m256i load_residual(const uint8_t* from, bool is_signed) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
}

// requantize::ShiftRounding, by the conversion from float, whose mode that is. Exact below
// 2**24; where a larger v is rounded on the way it stays at least 2**24, and 2**24 / 2**15 = 512
// saturates, whatever the zero point.
struct FloatRounding {
    static constexpr int kLargestShift = 15;
    __m256 scale;

    explicit FloatRounding(int shift) : scale(_mm256_set1_ps(1.0f / float(1 << shift))) {}

    __m256i operator()(__m256i v) const {
        return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(v), scale));
    }
};

// The same for every shift, as it is written there.
struct IntegerRounding {
    __m128i count;
    __m256i half_less_one;
    __m256i bit;  // 1, or 0 where there is nothing to round

    explicit IntegerRounding(int shift)
        : count(_mm_cvtsi32_si128(shift)),
          half_less_one(_mm256_set1_epi32(shift > 0 ? (1 << (shift - 1)) - 1 : 0)),
          bit(_mm256_set1_epi32(shift > 0 ? 1 : 0)) {}

    __m256i operator()(__m256i v) const {
        const __m256i odd = _mm256_and_si256(_mm256_sra_epi32(v, count), bit);
        return _mm256_sra_epi32(_mm256_add_epi32(_mm256_add_epi32(v, half_less_one), odd), count);
    }
};

// What a layer's constants leave to be done.
template <typename Rounding_, bool has_residual_, bool scaled_, bool saturating_, bool out_signed_>
struct Form {
    using Rounding = Rounding_;
    static constexpr bool has_residual = has_residual_;
    static constexpr bool scaled = scaled_;  // acc_shift != 0
    static constexpr bool saturating =
        saturating_;  // saturation alone clamps, and there is no zero point
    static constexpr bool out_signed = out_signed_;
};

// The first 1 to 8 bytes.
SUB8_INLINE void store_first(uint8_t* to, __m128i bytes, int count) {
    int64_t rest = _mm_cvtsi128_si64(bytes);
    if (count == 8) {
        __builtin_memcpy(to, &rest, 8);
        return;
    }
    if ((count & 4) != 0) {
        __builtin_memcpy(to, &rest, 4);
        to += 4, rest >>= 32;
    }
    if ((count & 2) != 0) {
        __builtin_memcpy(to, &rest, 2);
        to += 2, rest >>= 16;
    }
    if ((count & 1) != 0) *to = uint8_t(rest);
}

// Two rows of 16 rounded values, as vpackssdw leaves each, to 32 bytes: the first row's, then the
// second's.
template <typename Form>
struct Narrowing {
    __m256i zero_point, low, high;
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

    explicit Narrowing(const RequantizeConstants& c)
        : zero_point(_mm256_set1_epi16(int16_t(c.zero_point))),
          low(_mm256_set1_epi16(int16_t(c.low))),
          high(_mm256_set1_epi16(int16_t(c.high))) {}

    __m256i clamp(__m256i v) const {
        if constexpr (Form::saturating) return v;
        return _mm256_min_epi16(_mm256_max_epi16(_mm256_adds_epi16(v, zero_point), low), high);
    }

    __m256i operator()(__m256i first, __m256i second) const {
        first = clamp(first);
        second = clamp(second);
        const __m256i bytes = Form::out_signed ? _mm256_packs_epi16(first, second)
                                               : _mm256_packus_epi16(first, second);
        return _mm256_permutevar8x32_epi32(bytes, order);
    }
};

// Eight accumulators of a row, rounded.
template <typename Form>
class Rounded {
  public:
    explicit Rounded(const RequantizeConstants& c)
        : round_(c.shift),
          acc_shift_(_mm_cvtsi32_si128(c.acc_shift)),
          residual_shift_(_mm_cvtsi32_si128(c.residual_shift)),
          residual_signed_(c.residual_signed) {}

    SUB8_INLINE __m256i operator()(const int32_t* from, const uint8_t* residual,
                                   __m256i offset) const {
        __m256i v = load_unaligned(from);
        if constexpr (Form::scaled) v = _mm256_sll_epi32(v, acc_shift_);
        v = _mm256_add_epi32(v, offset);
        if constexpr (Form::has_residual) {
            const __m256i added = load_residual(residual, residual_signed_);
            v = _mm256_add_epi32(v, _mm256_sll_epi32(added, residual_shift_));
        }
        return round_(v);
    }

  private:
    typename Form::Rounding round_;
    __m128i acc_shift_, residual_shift_;
    bool residual_signed_;
};

// A copy of the arguments, and pointers that move on: a store of bytes could change what it points
// to, for all the compiler knows, and everything would be read again for every row.
template <typename Form>
void requantize_narrow(const RequantizeArguments& arguments) {
    const RequantizeArguments t = arguments;
    const int32_t* const offsets = t.constants->offset32 + t.output;
    const Rounded<Form> rounded(*t.constants);
    const Narrowing<Form> narrow(*t.constants);
    int column = 0;
    for (; column + 16 <= t.columns; column += 16) {
        const __m256i offset0 = load_unaligned(offsets + column);
        const __m256i offset1 = load_unaligned(offsets + column + 8);
        const int32_t* acc = t.acc + column;
        const uint8_t* residual = Form::has_residual ? t.residual + column : nullptr;
        uint8_t* out = t.out + column;
        const auto next_row = [&]() SUB8_INLINE_LAMBDA {
            const __m256i v0 = rounded(acc, residual, offset0);
            const __m256i v1 = rounded(acc + 8, residual + (Form::has_residual ? 8 : 0), offset1);
            acc += t.acc_pitch;
            if (Form::has_residual) residual += t.pitch;
            return _mm256_packs_epi32(v0, v1);
        };
        const auto put = [&](__m128i bytes) SUB8_INLINE_LAMBDA {
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
            out += t.pitch;
        };
        for (int pairs = t.rows / 2; pairs > 0; --pairs) {
            const __m256i first = next_row();
            const __m256i bytes = narrow(first, next_row());
            put(_mm256_castsi256_si128(bytes));
            put(_mm256_extracti128_si256(bytes, 1));
        }
        if (t.rows % 2 != 0) {
            const __m256i last = next_row();
            put(_mm256_castsi256_si128(narrow(last, last)));
        }
    }
    // Half a vector of outputs, of two rows at once; a last row alone is paired with itself. Eight
    // accumulators can be read of fewer outputs, but not eight bytes of a residual.
    for (; column < t.columns && (!Form::has_residual || column + 8 <= t.columns); column += 8) {
        const int count = t.columns - column < 8 ? t.columns - column : 8;
        const __m256i offset = load_unaligned(offsets + column);
        const auto row_values = [&](int row) SUB8_INLINE_LAMBDA {
            const uint8_t* residual =
                Form::has_residual ? t.residual + row * t.pitch + column : nullptr;
            return rounded(t.acc + row * t.acc_pitch + column, residual, offset);
        };
        for (int row = 0; row < t.rows; row += 2) {
            const int other = row + 1 < t.rows ? row + 1 : row;
            const __m256i both = _mm256_packs_epi32(row_values(row), row_values(other));
            const __m128i bytes = _mm256_castsi256_si128(narrow(both, both));
            store_first(t.out + row * t.pitch + column, bytes, count);
            store_first(t.out + other * t.pitch + column, _mm_unpackhi_epi64(bytes, bytes), count);
        }
    }
    if (column < t.columns) scalar::requantize_from(arguments, column);
}

// Multipliers of 31 bits, sums of 64: eight accumulators, the even ones in one vector, the odd ones
// in another. Half of a unit is added, so that the shift rounds, ties upwards, and those go back to
// even. The shift is 32 or more and sums stay below 2**62, so that their upper halves, shifted by
// the rest, are the results: of each 128-bit half the accumulators 0, 2, 1, 3.
template <bool ties_>
class WideRounding {
  public:
    WideRounding(int shift, const int64_t* multiplier, const int64_t* offset)
        : rest_(_mm_cvtsi32_si128(shift - 32)),
          fraction_(_mm256_set1_epi32(int32_t((uint32_t(1) << (shift - 32)) - 1))) {
        const __m256i half = _mm256_set1_epi64x(int64_t(1) << (shift - 1));
        part(load_unaligned(multiplier), load_unaligned(multiplier + 4), even_, odd_);
        part(load_unaligned(offset), load_unaligned(offset + 4), even_offset_, odd_offset_);
        even_offset_ = _mm256_add_epi64(even_offset_, half);
        odd_offset_ = _mm256_add_epi64(odd_offset_, half);
    }

    // The rounded sums of eight accumulators; added: eight more products, even and odd ones.
    template <bool adds>
    SUB8_INLINE __m256i operator()(__m256i acc, __m256i even_added, __m256i odd_added) const {
        const __m256i odd_acc = _mm256_srli_epi64(acc, 32);
        __m256i even = _mm256_add_epi64(_mm256_mul_epi32(acc, even_), even_offset_);
        __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(odd_acc, odd_), odd_offset_);
        if constexpr (adds) {
            even = _mm256_add_epi64(even, even_added);
            odd = _mm256_add_epi64(odd, odd_added);
        }
        const __m256i upper = halves<0xDD>(even, odd);
        __m256i rounded = _mm256_sra_epi32(upper, rest_);
        if constexpr (ties_) {
            const __m256i below =
                _mm256_or_si256(halves<0x88>(even, odd), _mm256_and_si256(upper, fraction_));
            const __m256i tie = _mm256_cmpeq_epi32(below, _mm256_setzero_si256());
            rounded = _mm256_andnot_si256(_mm256_srli_epi32(tie, 31), rounded);
        }
        return rounded;
    }

  private:
    // 0x88: the lower 32 bits of each, 0xDD: the upper ones.
    template <int which>
    static __m256i halves(__m256i even, __m256i odd) {
        return _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castsi256_ps(even), _mm256_castsi256_ps(odd), which));
    }

    // Eight int64 in order to the even and the odd ones.
    static void part(__m256i first, __m256i second, __m256i& even, __m256i& odd) {
        constexpr int kOrder = 0xD8;  // 0, 2, 1, 3
        even = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(first, second), kOrder);
        odd = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(first, second), kOrder);
    }

    __m128i rest_;
    __m256i fraction_;
    __m256i even_, odd_, even_offset_, odd_offset_;
};

// Columns of a panel, 8 or 16 of them. A copy of the arguments, as above.
template <typename Form, bool ties, int columns>
void requantize_wide_columns(const RequantizeArguments& arguments, int column) {
    static_assert(columns == 8 || columns == 16);
    const RequantizeArguments t = arguments;
    const RequantizeConstants c = *t.constants;
    const int64_t* const multiplier = c.multiplier + t.output + column;
    const int64_t* const offset = c.offset + t.output + column;
    const WideRounding<ties> first(c.shift, multiplier, offset);
    const WideRounding<ties> second(c.shift, multiplier + columns - 8, offset + columns - 8);
    const __m256i residual_multiplier = _mm256_set1_epi64x(c.residual_multiplier);
    const Narrowing<Form> narrow(c);
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15));
    const int32_t* acc = t.acc + column;
    const uint8_t* residual = Form::has_residual ? t.residual + column : nullptr;
    uint8_t* out = t.out + column;
    const auto rounded = [&](const WideRounding<ties>& rounding, int at) SUB8_INLINE_LAMBDA {
        __m256i even, odd;
        if constexpr (Form::has_residual) {
            const __m256i x = load_residual(residual + at, c.residual_signed);
            even = _mm256_mul_epi32(x, residual_multiplier);
            odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), residual_multiplier);
        } else {
            even = odd = zero();
        }
        return rounding.template operator()<Form::has_residual>(load_unaligned(acc + at), even,
                                                                odd);
    };
    const auto next_row = [&]() SUB8_INLINE_LAMBDA {
        acc += t.acc_pitch;
        if (Form::has_residual) residual += t.pitch;
    };
    // 16 rounded values: of a row, or of two rows of 8.
    const auto sixteen = [&](bool two_rows) SUB8_INLINE_LAMBDA {
        const __m256i v0 = rounded(first, 0);
        if (columns == 8) next_row();
        const __m256i v1 = columns == 16 ? rounded(second, 8) : two_rows ? rounded(first, 0) : v0;
        if (columns == 16 || two_rows) next_row();
        return _mm256_packs_epi32(v0, v1);
    };
    const auto put = [&](__m128i bytes) SUB8_INLINE_LAMBDA {
        __m128i* const to = reinterpret_cast<__m128i*>(out);
        columns == 16 ? _mm_storeu_si128(to, bytes) : _mm_storel_epi64(to, bytes);
        out += t.pitch;
    };
    const auto put_sixteen = [&](__m128i bytes) SUB8_INLINE_LAMBDA {
        put(bytes);
        if (columns == 8) put(_mm_unpackhi_epi64(bytes, bytes));
    };
    constexpr int kRows = 32 / columns;
    int left = t.rows;
    for (; left >= kRows; left -= kRows) {
        const __m256i v0 = sixteen(true);
        const __m256i v1 = sixteen(true);
        const __m256i bytes = _mm256_shuffle_epi8(narrow(v0, v1), order);
        put_sixteen(_mm256_castsi256_si128(bytes));
        put_sixteen(_mm256_extracti128_si256(bytes, 1));
    }
    for (; left > 0; --left) {
        const __m256i last = sixteen(false);
        put(_mm256_castsi256_si128(_mm256_shuffle_epi8(narrow(last, last), order)));
    }
}

template <bool ties, bool has_residual, bool saturating, bool out_signed>
void requantize_wide(const RequantizeArguments& arguments) {
    using Wide = Form<IntegerRounding, has_residual, false, saturating, out_signed>;
    int column = 0;
    for (; column + 16 <= arguments.columns; column += 16)
        requantize_wide_columns<Wide, ties, 16>(arguments, column);
    if (column + 8 <= arguments.columns) {
        requantize_wide_columns<Wide, ties, 8>(arguments, column);
        column += 8;
    }
    if (column < arguments.columns) scalar::requantize_from(arguments, column);
}

// From properties of the constants to the instance for them.
template <typename Rounding, bool... flags>
RequantizeKernel narrow() {
    return requantize_narrow<Form<Rounding, flags...>>;
}

template <typename Rounding, bool... flags, typename... Rest>
RequantizeKernel narrow(bool flag, Rest... rest) {
    return flag ? narrow<Rounding, flags..., true>(rest...)
                : narrow<Rounding, flags..., false>(rest...);
}

template <bool... flags>
RequantizeKernel wide() {
    return requantize_wide<flags...>;
}

template <bool... flags, typename... Rest>
RequantizeKernel wide(bool flag, Rest... rest) {
    return flag ? wide<flags..., true>(rest...) : wide<flags..., false>(rest...);
}

RequantizeKernel choose(const RequantizeConstants& c) {
    const int low = c.out_signed ? -128 : 0;
    const bool saturating = c.zero_point == 0 && c.low == low && c.high == low + 255;
    if (c.narrow && c.shift <= FloatRounding::kLargestShift)
        return narrow<FloatRounding>(c.has_residual, c.acc_shift != 0, saturating, c.out_signed);
    if (c.narrow)
        return narrow<IntegerRounding>(c.has_residual, c.acc_shift != 0, saturating, c.out_signed);
    if (c.wide) return wide(c.ties, c.has_residual, saturating, c.out_signed);
    return scalar::requantize(c);
}

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::avx2
