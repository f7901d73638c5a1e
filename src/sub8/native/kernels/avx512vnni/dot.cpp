// 8-bit dot products (vpdpbusd): tiles of 1-6 rows x 32 outputs (x86 AVX-512 with VNNI).
//
// 6 rows x 2 vectors are 12 independent sums, enough to cover the instruction's latency at two a
// cycle; with the totals of dotruns, 27 of 32 registers.
#include <immintrin.h>

#include "kernels/avx512vnni/kernels.h"
#include "kernels/tiles.h"
#include "kernels/unroll.h"

namespace sub8::avx512vnni {
namespace {

constexpr int kPanel = 32;

inline __m512i load(const void* from) { return _mm512_loadu_si512(from); }
inline void store(void* to, __m512i value) { _mm512_storeu_si512(to, value); }
inline __m512i broadcast(const uint8_t* from) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(from));
}
// The first scales of 16 outputs, as int32.
inline __m512i load_alpha(const uint8_t* from) {
    // Masked only because gcc 12 warns of its own header otherwise.
    const __m512i pairs = _mm512_maskz_cvtepu16_epi32(
        0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return _mm512_and_si512(pairs, _mm512_set1_epi32(0xff));
}

// sums += u8 quads * s8 quads. In assembly, because gcc copies every sum on the way otherwise.
SUB8_INLINE void multiply_quads(const uint8_t* a, __m512i w0, __m512i w1, __m512i& sum0,
                                __m512i& sum1) {
    __m512i x;
    asm volatile(
        "vpbroadcastd %[a], %[x]\n\t"
        "vpdpbusd %[w0], %[x], %[s0]\n\t"
        "vpdpbusd %[w1], %[x], %[s1]"
        : [s0] "+v"(sum0), [s1] "+v"(sum1), [x] "=&v"(x)
        : [a] "m"(*reinterpret_cast<const int32_t*>(a)), [w0] "v"(w0), [w1] "v"(w1));
}

template <int rows>
struct Tile {
    __m512i v[rows][2];

    SUB8_INLINE void clear() {
        SUB8_ROWS(v[r][0] = _mm512_setzero_si512(); v[r][1] = _mm512_setzero_si512();)
    }
    SUB8_INLINE void read(const int32_t* acc) {
        SUB8_ROWS(v[r][0] = load(acc + r * kPanel); v[r][1] = load(acc + r * kPanel + 16);)
    }
    SUB8_INLINE void write(int32_t* acc) const {
        SUB8_ROWS(store(acc + r * kPanel, v[r][0]); store(acc + r * kPanel + 16, v[r][1]);)
    }
    SUB8_INLINE void step(const uint8_t* a, const int8_t* w) {
        const __m512i w0 = load(w);
        const __m512i w1 = load(w + 64);
        SUB8_ROWS(multiply_quads(a + 4 * r, w0, w1, v[r][0], v[r][1]);)
    }
};

template <int rows>
SUB8_INLINE void dot(const TileArguments& t, const uint8_t* a, int32_t* total) {
    const int8_t* w = static_cast<const int8_t*>(t.weights);
    Tile<rows> acc;
    if (t.first) {
        acc.clear();
    } else {
        acc.read(total);
    }
    for (int k = 0; k < t.steps; ++k, a += t.pitch, w += 4 * kPanel) acc.step(a, w);
    acc.write(total);
}

template <bool fits16>
SUB8_INLINE void add_scaled(__m512i& total, __m512i sums, __m512i scale) {
    if constexpr (fits16) {
        total = _mm512_dpwssd_epi32(total, sums, scale);
    } else {
        total = _mm512_add_epi32(total, _mm512_mullo_epi32(sums, scale));
    }
}

// `fits16`: the sums of a run fit int16, so that one vpdpwssd multiplies them and adds them to the
// totals.
template <int rows, bool fits16>
SUB8_INLINE void dotruns(const TileArguments& t, const uint8_t* a, int32_t* total) {
    const int8_t* w = static_cast<const int8_t*>(t.weights);
    const uint8_t* alpha = t.alpha;
    Tile<rows> acc, sum;
    if (t.first) {
        acc.clear();
    } else {
        acc.read(total);
    }
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        sum.clear();
        for (int k = t.run_steps[run]; k > 0; --k, a += t.pitch, w += 4 * kPanel) sum.step(a, w);
        const __m512i alpha0 = load_alpha(alpha);
        const __m512i alpha1 = load_alpha(alpha + kPanel);
        SUB8_ROWS(add_scaled<fits16>(acc.v[r][0], sum.v[r][0], alpha0);
                  add_scaled<fits16>(acc.v[r][1], sum.v[r][1], alpha1);)
    }
    acc.write(total);
}

// One row with 2-bit weights unpacked in registers: codes t + 1 as they are, less the sum of the
// activations. The upper outputs' fields are multiplied where they are, four times too large.
void row2(const RowArguments& t) {
    const __m512i lower_field = _mm512_set1_epi8(0x03);
    const __m512i upper_field = _mm512_set1_epi8(0x0c);
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const uint8_t* activations = t.activations;
    __m512i acc0 = _mm512_setzero_si512(), acc1 = acc0;
    if (!t.first) {
        acc0 = load(t.acc);
        acc1 = load(t.acc + 16);
    }
    bool odd = false;  // whether the run begins with the second step of a stored vector
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        __m512i sum0 = _mm512_setzero_si512(), four_times = sum0, sum2 = sum0, four_times2 = sum0;
        int steps = t.run_steps[run];
        const auto first_step = [&](__m512i fields) {
            const __m512i x = broadcast(activations);
            activations += 4;
            sum0 = _mm512_dpbusd_epi32(sum0, x, _mm512_and_si512(fields, lower_field));
            four_times = _mm512_dpbusd_epi32(four_times, x, _mm512_and_si512(fields, upper_field));
        };
        const auto second_step = [&](__m512i fields) {
            const __m512i x = broadcast(activations);
            activations += 4;
            fields = _mm512_srli_epi16(fields, 4);
            sum2 = _mm512_dpbusd_epi32(sum2, x, _mm512_and_si512(fields, lower_field));
            four_times2 =
                _mm512_dpbusd_epi32(four_times2, x, _mm512_and_si512(fields, upper_field));
        };
        if (odd) {
            second_step(load(packed));
            packed += 64;
            --steps;
        }
        for (; steps >= 2; steps -= 2, packed += 64) {
            const __m512i fields = load(packed);
            first_step(fields);
            second_step(fields);
        }
        odd = steps == 1;
        if (odd) first_step(load(packed));
        const __m512i correction = _mm512_set1_epi32(t.corrections[run]);
        sum0 = _mm512_add_epi32(_mm512_add_epi32(sum0, sum2), correction);
        const __m512i sum1 = _mm512_add_epi32(
            _mm512_maskz_srai_epi32(0xffff, _mm512_add_epi32(four_times, four_times2), 2),
            correction);
        acc0 = _mm512_add_epi32(acc0, _mm512_mullo_epi32(sum0, load_alpha(alpha)));
        acc1 = _mm512_add_epi32(acc1, _mm512_mullo_epi32(sum1, load_alpha(alpha + kPanel)));
    }
    store(t.acc, acc0);
    store(t.acc + 16, acc1);
}

template <int rows>
void add_tiles(Kernels* kernels) {
    kernels->dot[rows] = tiles<rows, kPanel, dot<rows>>;
    kernels->dotruns[rows] = tiles<rows, kPanel, dotruns<rows, false>>;
    kernels->dotruns_short[rows] = tiles<rows, kPanel, dotruns<rows, true>>;
}

}  // namespace

void add_dot(Kernels* kernels) {
    kernels->has_dot = true;
    add_tiles<1>(kernels);
    add_tiles<2>(kernels);
    add_tiles<3>(kernels);
    add_tiles<4>(kernels);
    add_tiles<5>(kernels);
    add_tiles<6>(kernels);
    kernels->row2 = row2;
}

}  // namespace sub8::avx512vnni
