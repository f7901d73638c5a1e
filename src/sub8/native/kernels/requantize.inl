// requantize::SumTo8Bit in vectors of x86 of any width (`V`: avx2/lanes256.h,
// avx512vnni/lanes512.h): two of them of outputs at a time, a last one too. The including file
// defines, in an anonymous namespace,
//
//     // Calls column = Columns::template two<V>(t, column), which takes two vectors at a time, and
//     // then one<V>, which takes one where as many columns are left, from 0 on for every width
//     // that it has, the widest first. The column behind them.
//     template <typename Columns>
//     int by_vectors(const RequantizeArguments& t);

// Both have Lanes256, the narrowest, for what is left.

// Columns that are no whole vector: made as if they were, into memory of their own.
template <typename Columns>
void last_columns(const RequantizeArguments& t, int column) {
    constexpr int kRows = 32, kWidth = Lanes256::count;
    const int left = t.columns - column;
    if (left == 0) return;
    uint8_t residual[kRows * kWidth] = {}, out[kRows * kWidth];
    for (int row = 0; row < t.rows; row += kRows) {
        RequantizeArguments part = t;
        part.rows = t.rows - row < kRows ? t.rows - row : kRows;
        part.acc += row * t.acc_pitch + column;
        part.columns = kWidth;
        part.output += column;
        part.residual = residual;
        part.out = out;
        part.pitch = kWidth;
        const ptrdiff_t at = row * t.pitch + column;
        for (int r = 0; t.residual != nullptr && r < part.rows; ++r) {
            for (int i = 0; i < left; ++i)
                residual[r * kWidth + i] = t.residual[at + r * t.pitch + i];
        }
        Columns::template one<Lanes256>(part, 0);
        for (int r = 0; r < part.rows; ++r) {
            for (int i = 0; i < left; ++i) t.out[at + r * t.pitch + i] = out[r * kWidth + i];
        }
    }
}

// RequantizeConstants::in_float.
template <typename V>
struct FloatRounding {
    using Offset = typename V::Floats;
    static constexpr bool scales = true;
    typename V::Floats scale;

    explicit FloatRounding(const RequantizeConstants& c) : scale(V::setf(c.scale)) {}

    static SUB8_INLINE Offset offset(const RequantizeConstants& c, int output) {
        return V::loadf(c.float_offset + output);
    }
    SUB8_INLINE typename V::Ints operator()(typename V::Ints v, Offset offset) const {
        return V::rounded_sum(v, scale, offset);
    }
};

// requantize::ShiftRounding.
template <typename V>
struct IntegerRounding {
    using Offset = typename V::Ints;
    static constexpr bool scales = false;
    __m128i count;
    typename V::Ints half_less_one;
    typename V::Ints bit;  // 1, or 0 where there is nothing to round

    explicit IntegerRounding(const RequantizeConstants& c)
        : count(_mm_cvtsi32_si128(c.shift)),
          half_less_one(V::set32(c.shift > 0 ? (1 << (c.shift - 1)) - 1 : 0)),
          bit(V::set32(c.shift > 0 ? 1 : 0)) {}

    static SUB8_INLINE Offset offset(const RequantizeConstants& c, int output) {
        return V::load(c.offset32 + output);
    }
    SUB8_INLINE typename V::Ints operator()(typename V::Ints v, Offset offset) const {
        v = V::add32(v, offset);
        const auto odd = V::and_(V::sra32(v, count), bit);
        return V::sra32(V::add32(V::add32(v, half_less_one), odd), count);
    }
};

// What of a rounded value is left to do.
enum class Clamp {
    none,   // saturation does it
    high,   // to high: it lies within the bytes, so that it may follow saturation
    bytes,  // to low and high, likewise
    words,  // the zero point is still to be added
};

// What a layer's constants leave to be done.
template <template <typename> class Rounding_, Clamp clamp_, bool has_residual_, bool scaled_,
          bool out_signed_>
struct Form {
    template <typename V>
    using Rounding = Rounding_<V>;
    static constexpr Clamp clamp = clamp_;
    static constexpr bool has_residual = has_residual_;
    static constexpr bool scaled = scaled_;  // acc_shift != 0
    static constexpr bool out_signed = out_signed_;
};

// Two rows of rounded values, two vectors of each as packs32 leaves them, to bytes: the first
// row's, then the second's.
template <typename V, typename Form>
struct Narrowing {
    using Ints = typename V::Ints;
    static constexpr bool in_words = Form::clamp == Clamp::words;
    Ints zero_point, low, high;

    explicit Narrowing(const RequantizeConstants& c)
        : zero_point(V::set16(c.zero_point)),
          low(in_words ? V::set16(c.low) : V::set8(c.low)),
          high(in_words ? V::set16(c.high) : V::set8(c.high)) {}

    SUB8_INLINE Ints shifted(Ints v) const {
        if constexpr (!in_words) return v;
        return V::min16(V::max16(V::adds16(v, zero_point), low), high);
    }

    SUB8_INLINE Ints operator()(Ints first, Ints second) const {
        first = shifted(first);
        second = shifted(second);
        Ints bytes = Form::out_signed ? V::packs16(first, second) : V::packus16(first, second);
        if constexpr (Form::clamp == Clamp::high) {
            bytes = Form::out_signed ? V::min_s8(bytes, high) : V::min_u8(bytes, high);
        }
        if constexpr (Form::clamp == Clamp::bytes) {
            bytes = Form::out_signed ? V::min_s8(V::max_s8(bytes, low), high)
                                     : V::min_u8(V::max_u8(bytes, low), high);
        }
        return V::by_places(bytes);
    }
};

// A vector of a row's accumulators, rounded.
template <typename V, typename Form>
class Rounded {
    using Rounding = typename Form::template Rounding<V>;

  public:
    explicit Rounded(const RequantizeConstants& c)
        : round_(c),
          acc_shift_(_mm_cvtsi32_si128(c.acc_shift)),
          residual_shift_(_mm_cvtsi32_si128(c.residual_shift)),
          residual_factor_(V::set32(1 << c.residual_shift)),
          residual_signed_(c.residual_signed) {}

    SUB8_INLINE typename V::Ints operator()(const int32_t* from, const uint8_t* residual,
                                            typename Rounding::Offset offset) const {
        auto v = V::load(from);
        if constexpr (Form::scaled && (Form::has_residual || !Rounding::scales))
            v = V::sll32(v, acc_shift_);
        if constexpr (Form::has_residual) {
            const auto added = V::extended(residual, residual_signed_);
            if constexpr (Rounding::scales) {
                v = V::add_product(v, added, residual_factor_);
            } else {
                v = V::add32(v, V::sll32(added, residual_shift_));
            }
        }
        return round_(v, offset);
    }

  private:
    Rounding round_;
    __m128i acc_shift_, residual_shift_;
    typename V::Ints residual_factor_;
    bool residual_signed_;
};

// A copy of the arguments, and pointers that move on: a store of bytes could change what it points
// to, for all the compiler knows, and everything would be read again for every row.
template <typename V, typename Form>
SUB8_INLINE int narrow_two(const RequantizeArguments& t, int column) {
    constexpr int kHalf = V::count, kWhole = 2 * V::count;
    using Rounding = typename Form::template Rounding<V>;
    const Rounded<V, Form> rounded(*t.constants);
    const Narrowing<V, Form> narrow(*t.constants);
    for (; column + kWhole <= t.columns; column += kWhole) {
        const auto offset0 = Rounding::offset(*t.constants, t.output + column);
        const auto offset1 = Rounding::offset(*t.constants, t.output + column + kHalf);
        const int32_t* acc = t.acc + column;
        const uint8_t* residual = Form::has_residual ? t.residual + column : nullptr;
        uint8_t* out = t.out + column;
        const auto next_row = [&]() SUB8_INLINE_LAMBDA {
            const auto v0 = rounded(acc, residual, offset0);
            const auto v1 =
                rounded(acc + kHalf, residual + (Form::has_residual ? kHalf : 0), offset1);
            acc += t.acc_pitch;
            if (Form::has_residual) residual += t.pitch;
            return V::packs32(v0, v1);
        };
        for (int pairs = t.rows / 2; pairs > 0; --pairs) {
            const auto first = next_row();
            const auto bytes = narrow(first, next_row());
            V::template store_half<0>(out, bytes);
            out += t.pitch;
            V::template store_half<1>(out, bytes);
            out += t.pitch;
        }
        if (t.rows % 2 != 0) {
            const auto last = next_row();
            V::template store_half<0>(out, narrow(last, last));
        }
    }
    return column;
}

// A vector of outputs, of two rows at once; a last row alone is paired with itself.
template <typename V, typename Form>
SUB8_INLINE int narrow_one(const RequantizeArguments& t, int column) {
    if (column + V::count <= t.columns) {
        const Rounded<V, Form> rounded(*t.constants);
        const Narrowing<V, Form> narrow(*t.constants);
        const auto offset = Form::template Rounding<V>::offset(*t.constants, t.output + column);
        const auto row_values = [&](int row) SUB8_INLINE_LAMBDA {
            const uint8_t* residual =
                Form::has_residual ? t.residual + row * t.pitch + column : nullptr;
            return rounded(t.acc + row * t.acc_pitch + column, residual, offset);
        };
        for (int row = 0; row < t.rows; row += 2) {
            const int other = row + 1 < t.rows ? row + 1 : row;
            const auto both = V::packs32(row_values(row), row_values(other));
            const auto bytes = narrow(both, both);
            V::template store_quarter<0>(t.out + row * t.pitch + column, bytes);
            V::template store_quarter<1>(t.out + other * t.pitch + column, bytes);
        }
        column += V::count;
    }
    return column;
}

template <typename Form>
struct NarrowColumns {
    template <typename V>
    static SUB8_INLINE int two(const RequantizeArguments& t, int column) {
        return narrow_two<V, Form>(t, column);
    }
    template <typename V>
    static SUB8_INLINE int one(const RequantizeArguments& t, int column) {
        return narrow_one<V, Form>(t, column);
    }
};

template <typename Form>
void requantize_narrow(const RequantizeArguments& arguments) {
    const RequantizeArguments t = arguments;
    last_columns<NarrowColumns<Form>>(t, by_vectors<NarrowColumns<Form>>(t));
}

// Multipliers of 31 bits, sums of 64: a vector of accumulators, the even ones in one vector, the
// odd ones in another. Half of a unit is added, so that the shift rounds, ties upwards, and those
// go back to even. The shift is 32 or more and sums stay below 2**62, so that their upper halves,
// shifted by the rest, are the results: of each 128-bit lane the accumulators 0, 2, 1, 3.
template <typename V, bool ties_>
class WideRounding {
  public:
    using Ints = typename V::Ints;

    WideRounding(int shift, const int64_t* multiplier, const int64_t* offset)
        : rest_(_mm_cvtsi32_si128(shift - 32)),
          fraction_(V::set32(int32_t((uint32_t(1) << (shift - 32)) - 1))) {
        const Ints half = V::set64(int64_t(1) << (shift - 1));
        constexpr int kHalf = V::count / 2;
        V::part64(V::load(multiplier), V::load(multiplier + kHalf), even_, odd_);
        V::part64(V::load(offset), V::load(offset + kHalf), even_offset_, odd_offset_);
        even_offset_ = V::add64(even_offset_, half);
        odd_offset_ = V::add64(odd_offset_, half);
    }

    // The rounded sums of a vector of accumulators; added: as many more products, even and odd
    // ones.
    template <bool adds>
    SUB8_INLINE Ints operator()(Ints acc, Ints even_added, Ints odd_added) const {
        Ints even = V::add64(V::mul_even32(acc, even_), even_offset_);
        Ints odd = V::add64(V::mul_even32(V::odd32(acc), odd_), odd_offset_);
        if constexpr (adds) {
            even = V::add64(even, even_added);
            odd = V::add64(odd, odd_added);
        }
        // 0x88: the lower 32 bits of each, 0xDD: the upper ones.
        const Ints upper = V::template two_of_each<0xDD>(even, odd);
        const Ints rounded = V::sra32(upper, rest_);
        if constexpr (!ties_) return rounded;
        const Ints below =
            V::or_(V::template two_of_each<0x88>(even, odd), V::and_(upper, fraction_));
        return V::even_where_zero(rounded, below);
    }

  private:
    __m128i rest_;
    Ints fraction_;
    Ints even_, odd_, even_offset_, odd_offset_;
};

// Columns of a panel, one vector of them or two. A copy of the arguments, as above.
template <typename V, typename Form, bool ties, int vectors>
void requantize_wide_columns(const RequantizeArguments& arguments, int column) {
    static_assert(vectors == 1 || vectors == 2);
    using Ints = typename V::Ints;
    const RequantizeArguments t = arguments;
    const RequantizeConstants c = *t.constants;
    const int64_t* const multiplier = c.multiplier + t.output + column;
    const int64_t* const offset = c.offset + t.output + column;
    constexpr int kSecond = (vectors - 1) * V::count;
    const WideRounding<V, ties> first(c.shift, multiplier, offset);
    const WideRounding<V, ties> second(c.shift, multiplier + kSecond, offset + kSecond);
    const Ints residual_multiplier = V::set64(c.residual_multiplier);
    const Narrowing<V, Form> narrow(c);
    const Ints order =
        V::in_each_lane(_mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15));
    const int32_t* acc = t.acc + column;
    const uint8_t* residual = Form::has_residual ? t.residual + column : nullptr;
    uint8_t* out = t.out + column;
    const auto rounded = [&](const WideRounding<V, ties>& rounding, int at) SUB8_INLINE_LAMBDA {
        Ints even, odd;
        if constexpr (Form::has_residual) {
            const Ints x = V::extended(residual + at, c.residual_signed);
            even = V::mul_even32(x, residual_multiplier);
            odd = V::mul_even32(V::odd32(x), residual_multiplier);
        } else {
            even = odd = V::zero();
        }
        return rounding.template operator()<Form::has_residual>(V::load(acc + at), even, odd);
    };
    const auto next_row = [&]() SUB8_INLINE_LAMBDA {
        acc += t.acc_pitch;
        if (Form::has_residual) residual += t.pitch;
    };
    // Two vectors of rounded values: of a row, or of two rows of one.
    const auto two_vectors = [&](bool two_rows) SUB8_INLINE_LAMBDA {
        const Ints v0 = rounded(first, 0);
        if (vectors == 1) next_row();
        const Ints v1 = vectors == 2 ? rounded(second, V::count)
                        : two_rows   ? rounded(first, 0)
                                     : v0;
        if (vectors == 2 || two_rows) next_row();
        return V::packs32(v0, v1);
    };
    // Halves of a vector of bytes, each of them a row or two.
    const auto put_lower = [&](Ints bytes) SUB8_INLINE_LAMBDA {
        if constexpr (vectors == 2) {
            V::template store_half<0>(out, bytes);
        } else {
            V::template store_quarter<0>(out, bytes);
        }
        out += t.pitch;
    };
    constexpr int kRows = 4 / vectors;
    int left = t.rows;
    for (; left >= kRows; left -= kRows) {
        const Ints v0 = two_vectors(true);
        const Ints v1 = two_vectors(true);
        const Ints bytes = V::shuffle8(narrow(v0, v1), order);
        put_lower(bytes);
        if constexpr (vectors == 2) {
            V::template store_half<1>(out, bytes);
            out += t.pitch;
        } else {
            V::template store_quarter<1>(out, bytes);
            out += t.pitch;
            V::template store_quarter<2>(out, bytes);
            out += t.pitch;
            V::template store_quarter<3>(out, bytes);
            out += t.pitch;
        }
    }
    for (; left > 0; --left) {
        const Ints last = two_vectors(false);
        put_lower(V::shuffle8(narrow(last, last), order));
    }
}

template <typename Form, bool ties>
struct WideColumns {
    template <typename V>
    static SUB8_INLINE int two(const RequantizeArguments& t, int column) {
        for (; column + 2 * V::count <= t.columns; column += 2 * V::count)
            requantize_wide_columns<V, Form, ties, 2>(t, column);
        return column;
    }
    template <typename V>
    static SUB8_INLINE int one(const RequantizeArguments& t, int column) {
        if (column + V::count <= t.columns) {
            requantize_wide_columns<V, Form, ties, 1>(t, column);
            column += V::count;
        }
        return column;
    }
};

template <Clamp clamp, bool ties, bool has_residual, bool out_signed>
void requantize_wide(const RequantizeArguments& arguments) {
    using Columns =
        WideColumns<Form<IntegerRounding, clamp, has_residual, false, out_signed>, ties>;
    last_columns<Columns>(arguments, by_vectors<Columns>(arguments));
}

// From properties of the constants to the instance for them.
template <template <typename> class Rounding, Clamp clamp, bool... flags>
RequantizeKernel narrow() {
    return requantize_narrow<Form<Rounding, clamp, flags...>>;
}

template <template <typename> class Rounding, Clamp clamp, bool... flags, typename... Rest>
RequantizeKernel narrow(bool flag, Rest... rest) {
    return flag ? narrow<Rounding, clamp, flags..., true>(rest...)
                : narrow<Rounding, clamp, flags..., false>(rest...);
}

template <Clamp clamp, bool... flags>
RequantizeKernel wide() {
    return requantize_wide<clamp, flags...>;
}

template <Clamp clamp, bool... flags, typename... Rest>
RequantizeKernel wide(bool flag, Rest... rest) {
    return flag ? wide<clamp, flags..., true>(rest...) : wide<clamp, flags..., false>(rest...);
}

constexpr int kLargestFactorShift = 14;  // of a residual's factor, an int16

RequantizeKernel choose_float(const RequantizeConstants& c, Clamp clamp) {
    const bool scaled = c.acc_shift != 0;
    switch (clamp) {
        case Clamp::none:
            return narrow<FloatRounding, Clamp::none>(c.has_residual, scaled, c.out_signed);
        case Clamp::high:
            return narrow<FloatRounding, Clamp::high>(c.has_residual, scaled, c.out_signed);
        default:
            return narrow<FloatRounding, Clamp::bytes>(c.has_residual, scaled, c.out_signed);
    }
}

RequantizeKernel choose(const RequantizeConstants& c) {
    const int low = c.out_signed ? -128 : 0;
    const Clamp clamp = c.low != low          ? Clamp::bytes
                        : c.high != low + 255 ? Clamp::high
                                              : Clamp::none;
    if (c.narrow && c.in_float && c.residual_shift <= kLargestFactorShift)
        return choose_float(c, clamp);
    if (c.narrow)
        return narrow<IntegerRounding, Clamp::words>(c.has_residual, c.acc_shift != 0,
                                                     c.out_signed);
    if (!c.wide) return scalar::requantize(c);
    if (c.zero_point != 0) return wide<Clamp::words>(c.ties, c.has_residual, c.out_signed);
    return clamp == Clamp::none ? wide<Clamp::none>(c.ties, c.has_residual, c.out_signed)
                                : wide<Clamp::bytes>(c.ties, c.has_residual, c.out_signed);
}
