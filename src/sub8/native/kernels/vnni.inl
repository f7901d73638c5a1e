// Tiles of two vectors a row for dot.inl (x86 with VNNI). The including file defines, in an
// anonymous namespace, Vector, kPanel, zero, load, load_weights, store and multiply_quads.

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
    SUB8_INLINE void step(const uint8_t* a, const int8_t* w) {
        const Vector w0 = load_weights(w);
        const Vector w1 = load_weights(w + 2 * kPanel);
        SUB8_ROWS(multiply_quads(a + 4 * r, w0, w1, v[r][0], v[r][1]);)
    }
};

#include "kernels/dot.inl"

// Defined by the including file; `fits16`: the sums of a run fit int16.
template <int rows, bool fits16>
SUB8_INLINE void dotruns_of(const TileArguments& t, const uint8_t* a, int32_t* total);

template <int rows>
SUB8_INLINE void dotruns(const TileArguments& t, const uint8_t* a, int32_t* total) {
    dotruns_of<rows, false>(t, a, total);
}

template <int rows>
SUB8_INLINE void dotruns_short(const TileArguments& t, const uint8_t* a, int32_t* total) {
    dotruns_of<rows, true>(t, a, total);
}
