// Depthwise convolution, 32 channels x 4 taps (x86 AVX-512 with VNNI).
//
// Bytes of four taps are interleaved, so that vpdpbusd multiplies them with all four's weights, of
// which both parts fit int8 together.
//
// Two positions at once, one in either half of a vector.
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

constexpr int kQuads = kDepthwisePairs / 2;  // of taps

// The whole weights of a pair of taps: words of 32 channels.
SUB8_INLINE __m512i whole(const DepthwiseArguments& t, int pair) {
    const int8_t* const from = t.weights + pair * kDepthwiseStep;
    const __m512i high = _mm512_slli_epi16(load(from + 2 * kDepthwiseBlock), 4);
    return _mm512_add_epi8(load(from), _mm512_and_si512(high, _mm512_set1_epi8(char(0xf0))));
}

// The words of channels 16 * which .. as the lower halves of int32.
SUB8_INLINE __m512i widened(__m512i words, int which) {
    return _mm512_cvtepu16_epi32(which == 0 ? _mm512_castsi512_si256(words)
                                            : _mm512_extracti64x4_epi64(words, 1));
}

// Sums of 16 channels to accumulators.
template <bool again>
class Results {
  public:
    explicit Results(const DepthwiseArguments& t) {
        for (int i = 0; i < 2; ++i) {
            // The first factor of each pair.
            const __m512i factors =
                _mm512_and_si512(load(t.factors + 32 * i), _mm512_set1_epi32(0xffff));
            alpha_[i] = _mm512_sll_epi32(factors, _mm_cvtsi32_si128(t.left_shift));
        }
    }

    SUB8_INLINE void put(__m512i lower, __m512i upper, int32_t* acc) const {
        put_one(_mm512_mullo_epi32(lower, alpha_[0]), acc);
        put_one(_mm512_mullo_epi32(upper, alpha_[1]), acc + 16);
    }

  private:
    static SUB8_INLINE void put_one(__m512i v, int32_t* acc) {
        if constexpr (again) v = _mm512_add_epi32(v, load(acc));
        store(acc, v);
    }

    __m512i alpha_[2];
};

template <bool flipped, bool again>
void depthwise_quads(const DepthwiseArguments& t) {
    const Results<again> results(t);
    const int quads = (t.pairs + 1) / 2;
    // Of channels 4k .. and 16 + 4k .., twice: as unpacking leaves the inputs.
    __m512i weights[kQuads][4];
    const uint8_t* rows[4 * kQuads];
    for (int quad = 0; quad < quads; ++quad) {
        const bool full = 2 * quad + 1 < t.pairs;
        alignas(64) int32_t taps[kDepthwiseBlock];
        for (int i = 0; i < 2; ++i) {
            const __m512i lower = widened(whole(t, 2 * quad), i);
            const __m512i upper = full ? widened(whole(t, 2 * quad + 1), i) : zero();
            store(taps + 16 * i, _mm512_or_si512(lower, _mm512_slli_epi32(upper, 16)));
        }
        for (int k = 0; k < 4; ++k) {
            const __m128i* const from = reinterpret_cast<const __m128i*>(taps) + k;
            weights[quad][k] = _mm512_broadcast_i64x4(
                _mm256_set_m128i(_mm_load_si128(from + 4), _mm_load_si128(from)));
            rows[4 * quad + k] = t.rows[4 * quad + (full ? k : k % 2)];
        }
    }
    for (int position = 0; position < t.positions; position += 2) {
        const ptrdiff_t offset = position * t.step;
        const bool two = position + 1 < t.positions;
        const ptrdiff_t second = two ? t.step : 0;
        __m512i sums[4] = {zero(), zero(), zero(), zero()};
        for (int quad = 0; quad < quads; ++quad) {
            __m512i x[4];
            for (int k = 0; k < 4; ++k) {
                const uint8_t* const from = rows[4 * quad + k] + offset;
                x[k] = _mm512_inserti64x4(
                    _mm512_castsi256_si512(
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))),
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + second)), 1);
                if constexpr (flipped) x[k] = _mm512_xor_si512(x[k], _mm512_set1_epi8(char(0x80)));
            }
            const __m512i a = _mm512_unpacklo_epi8(x[0], x[1]);
            const __m512i b = _mm512_unpackhi_epi8(x[0], x[1]);
            const __m512i c = _mm512_unpacklo_epi8(x[2], x[3]);
            const __m512i d = _mm512_unpackhi_epi8(x[2], x[3]);
            const __m512i(&w)[4] = weights[quad];
            sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_unpacklo_epi16(a, c), w[0]);
            sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_unpackhi_epi16(a, c), w[1]);
            sums[2] = _mm512_dpbusd_epi32(sums[2], _mm512_unpacklo_epi16(b, d), w[2]);
            sums[3] = _mm512_dpbusd_epi32(sums[3], _mm512_unpackhi_epi16(b, d), w[3]);
        }
        // Lanes 0 and 1 of all are the first position's, of its channels 4k .. and 16 + 4k ..
        const auto put = [&](__m512i lower, __m512i upper, int at) SUB8_INLINE_LAMBDA {
            results.put(_mm512_shuffle_i32x4(lower, upper, 0x88),
                        _mm512_shuffle_i32x4(lower, upper, 0xdd), t.acc + at * t.acc_pitch);
        };
        put(_mm512_shuffle_i32x4(sums[0], sums[1], 0x44),
            _mm512_shuffle_i32x4(sums[2], sums[3], 0x44), position);
        if (two) {
            put(_mm512_shuffle_i32x4(sums[0], sums[1], 0xee),
                _mm512_shuffle_i32x4(sums[2], sums[3], 0xee), position + 1);
        }
    }
}

void depthwise_any(const DepthwiseArguments& t) {
    if (t.flip != 0) {
        t.first ? depthwise_quads<true, false>(t) : depthwise_quads<true, true>(t);
    } else {
        t.first ? depthwise_quads<false, false>(t) : depthwise_quads<false, true>(t);
    }
}

}  // namespace

const DepthwiseKernel depthwise = {
    depthwise_any, {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}};

}  // namespace sub8::kernels::avx512vnni
