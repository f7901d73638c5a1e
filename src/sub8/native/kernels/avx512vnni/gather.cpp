// NHWC positions to slots (x86 AVX-512): blocks of 8 positions x 16 slots, transposed as 32-bit
// words; what is left over is masked. Dot products take channels in their order, others are AVX2's.
#include "kernels/avx512vnni/transpose.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

constexpr int kPositions = 8, kSlots = 16;

// The bytes of a vector that may be read, of so many.
SUB8_INLINE __mmask64 first_bytes(ptrdiff_t count) {
    return count >= 64 ? ~__mmask64(0) : count <= 0 ? 0 : (__mmask64(1) << count) - 1;
}

// `whole`: all of the block is there.
template <bool whole>
SUB8_INLINE void gather_block(const SlotArguments& s, __m512i flip, int position, int slot) {
    const int left = s.positions - position;
    const int positions = whole || left > kPositions ? kPositions : left;
    const int slots = whole || s.slots - slot > kSlots ? kSlots : s.slots - slot;
    __m512i v[kPositions];
    for (int p = 0; p < kPositions; ++p) {
        const ptrdiff_t at = (position + (p < positions ? p : positions - 1)) * s.pitch + 4 * slot;
        if constexpr (whole) {
            v[p] = load(s.input + at);
        } else {
            const ptrdiff_t wanted = 4 * slots, there = s.readable - at;
            v[p] =
                _mm512_maskz_loadu_epi8(first_bytes(wanted < there ? wanted : there), s.input + at);
        }
        v[p] = _mm512_xor_si512(v[p], flip);
    }
    uint32_t* const out = s.out + slot * s.out_pitch + position;
    transpose(v, [&](int q, __m256i words) SUB8_INLINE_LAMBDA {
        uint32_t* const to = out + q * s.out_pitch;
        if constexpr (whole) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
        } else if (q < slots) {
            _mm256_mask_storeu_epi32(to, __mmask8((1 << positions) - 1), words);
        }
    });
}

// One position in all: its slots as they lie.
void gather_row(const SlotArguments& s, __m512i flip) {
    const ptrdiff_t bytes = 4 * ptrdiff_t(s.slots);
    for (ptrdiff_t i = 0; i < bytes; i += 64) {
        const ptrdiff_t there = bytes < s.readable ? bytes : s.readable;
        const __m512i v = _mm512_maskz_loadu_epi8(first_bytes(there - i), s.input + i);
        _mm512_mask_storeu_epi8(s.out + i / 4, first_bytes(bytes - i), _mm512_xor_si512(v, flip));
    }
}

void gather(const SlotArguments& s) {
    if (s.order != SlotOrder::contiguous || s.widen) return avx2::gather_slots(s);
    const __m512i flip = _mm512_set1_epi8(char(s.flip));
    if (s.positions == 1 && s.out_pitch == 1) return gather_row(s, flip);
    for (int p = 0; p < s.positions; p += kPositions) {
        for (int q = 0; q < s.slots; q += kSlots) {
            const ptrdiff_t end = (p + kPositions - 1) * s.pitch + 4 * (q + kSlots);
            const bool whole =
                p + kPositions <= s.positions && q + kSlots <= s.slots && end <= s.readable;
            whole ? gather_block<true>(s, flip, p, q) : gather_block<false>(s, flip, p, q);
        }
    }
}

}  // namespace

decltype(KernelSet::gather_slots) const gather_slots = gather;

}  // namespace sub8::kernels::avx512vnni
