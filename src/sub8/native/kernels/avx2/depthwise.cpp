// Depthwise convolution, 32 channels x pairs of taps (x86 AVX2).
//
// Bytes of two taps are interleaved, so that vpmaddubsw multiplies them with both taps' weights;
// weights come in two parts small enough that int16 sums never saturate (kernels.h), joined by one
// vpmaddwd at the end.
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

struct Sums {
    __m256i low0, low1, high0, high1;  // parts of the weights; places 0-15, 16-31 of the block

    void clear() { low0 = low1 = high0 = high1 = _mm256_setzero_si256(); }
};

// `plain`: results are stored as they are, not shifted or added to earlier ones.
template <bool plain>
class Output {
  public:
    explicit Output(const DepthwiseArguments& arguments)
        : t_(arguments), shift_(_mm_cvtsi32_si128(arguments.left_shift)) {
        for (int i = 0; i < 4; ++i) {
            // Low and high parts, once interleaved, are of these places: four and, eight further
            // on, four more.
            const int place = 16 * (i / 2) + 4 * (i % 2);
            const __m128i* from = reinterpret_cast<const __m128i*>(t_.factors + 2 * place);
            factors_[i] = _mm256_set_m128i(_mm_loadu_si128(from + 2), _mm_loadu_si128(from));
        }
    }

    SUB8_INLINE void operator()(const Sums& sums, int position) const {
        int32_t* acc = t_.acc + position * t_.acc_pitch;
        const __m256i v0 =
            join(_mm256_unpacklo_epi16(sums.low0, sums.high0), 0);  // channels 0-3, 16-19
        const __m256i v1 = join(_mm256_unpackhi_epi16(sums.low0, sums.high0), 1);  // 4-7, 20-23
        const __m256i v2 = join(_mm256_unpacklo_epi16(sums.low1, sums.high1), 2);  // 8-11, 24-27
        const __m256i v3 = join(_mm256_unpackhi_epi16(sums.low1, sums.high1), 3);  // 12-15, 28-31
        put(acc, _mm256_permute2x128_si256(v0, v1, 0x20));
        put(acc + 8, _mm256_permute2x128_si256(v2, v3, 0x20));
        put(acc + 16, _mm256_permute2x128_si256(v0, v1, 0x31));
        put(acc + 24, _mm256_permute2x128_si256(v2, v3, 0x31));
    }

  private:
    __m256i join(__m256i parts, int i) const {
        const __m256i joined = _mm256_madd_epi16(parts, factors_[i]);
        return plain ? joined : _mm256_sll_epi32(joined, shift_);
    }

    void put(int32_t* acc, __m256i value) const {
        if (!plain && !t_.first) value = _mm256_add_epi32(value, load_unaligned(acc));
        store_unaligned(acc, value);
    }

    const DepthwiseArguments& t_;
    __m128i shift_;
    __m256i factors_[4];
};

// One pair of taps at `positions` (1 or 2) neighbouring positions.
template <int positions, bool flipped>
SUB8_INLINE void add_pair(const uint8_t* from0, const uint8_t* from1, ptrdiff_t step,
                          const int8_t* w, Sums (&sums)[positions]) {
    const __m256i flip = _mm256_set1_epi8(char(0x80));
    __m256i a[positions], b[positions];
    for (int p = 0; p < positions; ++p) {
        __m256i x0 = load_unaligned(from0 + p * step);
        __m256i x1 = load_unaligned(from1 + p * step);
        if constexpr (flipped) {
            x0 = _mm256_xor_si256(x0, flip);
            x1 = _mm256_xor_si256(x1, flip);
        }
        a[p] = _mm256_unpacklo_epi8(x0, x1);
        b[p] = _mm256_unpackhi_epi8(x0, x1);
    }
    const __m256i w0 = load_unaligned(w), w1 = load_unaligned(w + 32);
    const __m256i w2 = load_unaligned(w + 64), w3 = load_unaligned(w + 96);
    for (int p = 0; p < positions; ++p) {
        add_products(a[p], w0, sums[p].low0);
        add_products(b[p], w1, sums[p].low1);
        add_products(a[p], w2, sums[p].high0);
        add_products(b[p], w3, sums[p].high1);
    }
}

// `pairs`: of taps, 0: as the arguments say.
template <int pairs, int positions, bool flipped, bool plain>
SUB8_INLINE void run_positions(const DepthwiseArguments& t, const Output<plain>& output,
                               int position) {
    Sums sums[positions];
    for (int p = 0; p < positions; ++p) sums[p].clear();
    const int8_t* w = t.weights;
    const ptrdiff_t offset = position * t.step;
    const int count = pairs > 0 ? pairs : t.pairs;
#pragma GCC unroll 8
    for (int pair = 0; pair < count; ++pair, w += kDepthwiseStep) {
        add_pair<positions, flipped>(t.rows[2 * pair] + offset, t.rows[2 * pair + 1] + offset,
                                     t.step, w, sums);
    }
    for (int p = 0; p < positions; ++p) output(sums[p], position + p);
}

template <int pairs, bool flipped, bool plain>
void depthwise_as(const DepthwiseArguments& t) {
    const Output<plain> output(t);
    int position = 0;
    for (; position + 2 <= t.positions; position += 2) {
        run_positions<pairs, 2, flipped, plain>(t, output, position);
    }
    if (position < t.positions) run_positions<pairs, 1, flipped, plain>(t, output, position);
}

template <bool flipped>
void depthwise_of(const DepthwiseArguments& t) {
    const bool plain = t.first && t.left_shift == 0;
    if (plain && t.pairs == 5) {
        depthwise_as<5, flipped, true>(t);  // 3x3
    } else if (plain) {
        depthwise_as<0, flipped, true>(t);
    } else {
        depthwise_as<0, flipped, false>(t);
    }
}

void depthwise_any(const DepthwiseArguments& t) {
    if (t.flip != 0) {
        depthwise_of<true>(t);
    } else {
        depthwise_of<false>(t);
    }
}

}  // namespace

// Unpacking works within 128-bit halves: place j of a vector pair holds this channel.
const DepthwiseKernel depthwise = {depthwise_any,
                                   {0, 1, 2,  3,  4,  5,  6,  7,  16, 17, 18, 19, 20, 21, 22, 23,
                                    8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31}};

}  // namespace sub8::kernels::avx2
