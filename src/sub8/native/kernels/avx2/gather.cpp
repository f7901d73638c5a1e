// NHWC positions to slots (x86 AVX2): blocks of 8 positions x 8 slots, transposed as 32-bit words.
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/tile.h"
#include "kernels/scalar/scalar_kernels.h"

namespace sub8::avx2 {
namespace {

inline __m128i load128(const uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

// Slots first_slot .. first_slot + 7 of one position, and the bytes after `from` that this reads.
struct Contiguous {
    explicit Contiguous(const SlotArguments&) {}
    ptrdiff_t reach(int first_slot) const { return 4 * first_slot + 32; }
    __m256i operator()(const uint8_t* from, int first_slot) const {
        return load_unaligned(from + 4 * first_slot);
    }
};

struct Paired4 {
    explicit Paired4(const SlotArguments&) {}
    ptrdiff_t reach(int first_slot) const { return 4 * first_slot + 32; }
    __m256i operator()(const uint8_t* from, int first_slot) const {
        const __m256i order =
            _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1, 4, 5, 2, 3,
                             6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
        return _mm256_shuffle_epi8(load_unaligned(from + 4 * first_slot), order);
    }
};

// 8 slots take 16 channels of each of the two clusters.
struct PairedLong {
    int cluster;
    explicit PairedLong(const SlotArguments& s) : cluster(s.cluster) {}
    ptrdiff_t reach(int first_slot) const { return start(first_slot) + cluster + 16; }
    ptrdiff_t start(int first_slot) const {
        const int channel = 2 * first_slot;  // of the first cluster of each pair, counted on
        return ptrdiff_t(channel / cluster) * 2 * cluster + channel % cluster;
    }
    __m256i operator()(const uint8_t* from, int first_slot) const {
        const uint8_t* a = from + start(first_slot);
        const __m128i lower = load128(a);
        const __m128i upper = load128(a + cluster);
        return _mm256_set_m128i(_mm_unpackhi_epi16(lower, upper), _mm_unpacklo_epi16(lower, upper));
    }
};

struct Wide {
    explicit Wide(const SlotArguments&) {}
    ptrdiff_t reach(int first_slot) const { return 2 * first_slot + 16; }
    __m256i operator()(const uint8_t* from, int first_slot) const {
        return _mm256_cvtepu8_epi16(load128(from + 2 * first_slot));
    }
};

inline void transpose(__m256i (&v)[8]) {
    const __m256i a0 = _mm256_unpacklo_epi32(v[0], v[1]), a1 = _mm256_unpackhi_epi32(v[0], v[1]);
    const __m256i a2 = _mm256_unpacklo_epi32(v[2], v[3]), a3 = _mm256_unpackhi_epi32(v[2], v[3]);
    const __m256i a4 = _mm256_unpacklo_epi32(v[4], v[5]), a5 = _mm256_unpackhi_epi32(v[4], v[5]);
    const __m256i a6 = _mm256_unpacklo_epi32(v[6], v[7]), a7 = _mm256_unpackhi_epi32(v[6], v[7]);
    const __m256i b0 = _mm256_unpacklo_epi64(a0, a2), b1 = _mm256_unpackhi_epi64(a0, a2);
    const __m256i b2 = _mm256_unpacklo_epi64(a1, a3), b3 = _mm256_unpackhi_epi64(a1, a3);
    const __m256i b4 = _mm256_unpacklo_epi64(a4, a6), b5 = _mm256_unpackhi_epi64(a4, a6);
    const __m256i b6 = _mm256_unpacklo_epi64(a5, a7), b7 = _mm256_unpackhi_epi64(a5, a7);
    v[0] = _mm256_permute2x128_si256(b0, b4, 0x20);
    v[1] = _mm256_permute2x128_si256(b1, b5, 0x20);
    v[2] = _mm256_permute2x128_si256(b2, b6, 0x20);
    v[3] = _mm256_permute2x128_si256(b3, b7, 0x20);
    v[4] = _mm256_permute2x128_si256(b0, b4, 0x31);
    v[5] = _mm256_permute2x128_si256(b1, b5, 0x31);
    v[6] = _mm256_permute2x128_si256(b2, b6, 0x31);
    v[7] = _mm256_permute2x128_si256(b3, b7, 0x31);
}

// `positions` of 1..8 and `slots` of 1..8 at (first_position, first_slot).
template <typename Load>
void block(const SlotArguments& s, const Load& load_slots, int first_slot, int slots,
           int first_position, int positions) {
    // Lanes of the flip: zero-extended bytes have it in their lower byte only.
    const __m256i flip = s.widen ? _mm256_set1_epi16(s.flip) : _mm256_set1_epi8(char(s.flip));
    __m256i v[8];
    const uint8_t* from = s.input + first_position * s.pitch;
    for (int p = 0; p < 8; ++p) {
        const uint8_t* position = from + (p < positions ? p : positions - 1) * s.pitch;
        v[p] = _mm256_xor_si256(load_slots(position, first_slot), flip);
    }
    transpose(v);
    uint32_t* out = s.out + first_slot * s.out_pitch + first_position;
    if (positions == 8) {
        for (int q = 0; q < slots; ++q) store_unaligned(out + q * s.out_pitch, v[q]);
    } else {
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(positions),
                                                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        for (int q = 0; q < slots; ++q) {
            _mm256_maskstore_epi32(reinterpret_cast<int*>(out + q * s.out_pitch), mask, v[q]);
        }
    }
}

template <typename Load>
void gather(const SlotArguments& s) {
    const Load load_slots(s);
    for (int p = 0; p < s.positions; p += 8) {
        const int positions = s.positions - p < 8 ? s.positions - p : 8;
        for (int q = 0; q < s.slots; q += 8) {
            const int slots = s.slots - q < 8 ? s.slots - q : 8;
            const bool readable = (p + positions - 1) * s.pitch + load_slots.reach(q) <= s.readable;
            if (readable) {
                block(s, load_slots, q, slots, p, positions);
            } else {
                scalar::gather_slots(s, q, q + slots, p, p + positions);
            }
        }
    }
}

void gather_slots(const SlotArguments& s) {
    switch (s.order) {
        case SlotOrder::contiguous:
            return gather<Contiguous>(s);
        case SlotOrder::paired4:
            return gather<Paired4>(s);
        case SlotOrder::paired_long:
            return gather<PairedLong>(s);
        case SlotOrder::wide:
            return gather<Wide>(s);
        case SlotOrder::table:
            return scalar::gather_slots(s, 0, s.slots, 0, s.positions);
    }
}

}  // namespace

void add_gather(Kernels* kernels) { kernels->gather_slots = gather_slots; }

}  // namespace sub8::avx2
