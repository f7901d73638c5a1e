// Tiles of two vectors a row for dot.inl (x86 with VNNI). The including file defines, in an
// anonymous namespace, Vector, kPanel, zero, load, load_unaligned and store, and how its assembly
// is written: what stands before vpdpbusd, and the letter of its registers.

// sums += products of a row's four bytes with both vectors' four. In assembly, because gcc copies
// and spills the sums otherwise.
#ifndef SUB8_VNNI_STEP
#define SUB8_VNNI_STEP(name, instruction)                                                          \
    SUB8_INLINE void name(const uint8_t* a, Vector w0, Vector w1, Vector& sum0, Vector& sum1) {    \
        Vector x;                                                                                  \
        asm volatile("vpbroadcastd %[a], %[x]\n\t" SUB8_VNNI_PREFIX instruction                    \
                     " %[w0], %[x], %[s0]\n\t" SUB8_VNNI_PREFIX instruction " %[w1], %[x], %[s1]"  \
                     : [s0] "+" SUB8_VNNI_REGISTER(sum0), [s1] "+" SUB8_VNNI_REGISTER(sum1),       \
                       [x] "=&" SUB8_VNNI_REGISTER(x)                                              \
                     : [a] "m"(*reinterpret_cast<const int32_t*>(a)), [w0] SUB8_VNNI_REGISTER(w0), \
                       [w1] SUB8_VNNI_REGISTER(w1));                                               \
    }
#endif  // tests put their own in its place

SUB8_VNNI_STEP(multiply_quads, "vpdpbusd")  // u8 * s8
SUB8_VNNI_STEP(multiply_pairs, "vpdpwssd")  // s16 * s16

template <int rows>
struct Tile {
    Vector v[rows][2];

    SUB8_INLINE void clear() { SUB8_ROWS(v[r][0] = zero(); v[r][1] = zero();) }
    SUB8_INLINE void read(const int32_t* acc) {
        SUB8_ROWS(v[r][0] = load(acc + r * kPanel); v[r][1] = load(acc + r * kPanel + kPanel / 2);)
    }
    SUB8_INLINE void write(int32_t* acc) const {
        SUB8_ROWS(store(acc + r * kPanel, v[r][0]); store(acc + r * kPanel + kPanel / 2, v[r][1]);)
    }
    using Activations = TileRows<rows>;
    SUB8_INLINE void step(const Activations& a, const int8_t* w) {
        const Vector w0 = load_unaligned(w);
        const Vector w1 = load_unaligned(w + 2 * kPanel);
        SUB8_ROWS(multiply_quads(a.template row<r>(), w0, w1, v[r][0], v[r][1]);)
    }
};

template <int rows>
struct WideTile : Tile<rows> {
    SUB8_INLINE void step(const TileRows<rows>& a, const int8_t* w) {
        const Vector w0 = load_unaligned(w);
        const Vector w1 = load_unaligned(w + 2 * kPanel);
        SUB8_ROWS(multiply_pairs(a.template row<r>(), w0, w1, this->v[r][0], this->v[r][1]);)
    }
};

#include "kernels/dot.inl"

template <int rows>
SUB8_INLINE void wide16(const TileArguments& t, const uint8_t* a, int32_t* total) {
    sum_of_steps<WideTile<rows>>(t, a, total, EvenSteps{t.pitch});
}
