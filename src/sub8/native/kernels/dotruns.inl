// Runs of 8-bit dot products that are scaled in memory. Beside what vnni.inl needs the including
// file defines, in an anonymous namespace, Lanes, its instruction set's vectors
// (avxvnni/lanes256.h, avx512vnni/lanes512.h), and
//
//     Vector first_alpha(const uint8_t* from);  // the first scale of each output's pair, as int32

#include "kernels/vnni.inl"

// total += sums * scales; `fits16`: the sums fit int16, so that one instruction does it.
template <bool fits16>
SUB8_INLINE void add_scaled(int32_t* total, Vector sums, Vector scale, bool first) {
    const Vector before = first ? zero() : load(total);
    if constexpr (fits16) {
        store(total, Lanes::add_product(before, sums, scale));
    } else {
        store(total, Lanes::add32(before, Lanes::mul32(sums, scale)));
    }
}

// The totals live in memory and are visited once a run, so that all registers are left to sums.
template <int rows, bool fits16>
SUB8_INLINE void dotruns_of(const TileArguments& t, const uint8_t* a, int32_t* total) {
    bool first = t.first;
    for_each_run<rows>(t, a, [&](const Tile<rows>& sum, const uint8_t* alpha) SUB8_INLINE_LAMBDA {
        const Vector alpha0 = first_alpha(alpha);
        const Vector alpha1 = first_alpha(alpha + kPanel);
        SUB8_ROWS(add_scaled<fits16>(total + r * kPanel, sum.v[r][0], alpha0, first);
                  add_scaled<fits16>(total + r * kPanel + kPanel / 2, sum.v[r][1], alpha1, first);)
        first = false;
    });
}

template <int rows>
SUB8_INLINE void dotruns(const TileArguments& t, const uint8_t* a, int32_t* total) {
    dotruns_of<rows, false>(t, a, total);
}
