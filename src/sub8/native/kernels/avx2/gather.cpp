// NHWC positions to slots (x86 AVX2): blocks of 8 positions x 8 slots, transposed as 32-bit words;
// the last positions of a line in blocks of 4.
#include "kernels/avx2/tile.h"
#include "kernels/avx2/transpose.h"
#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::avx2 {
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

// The first `count` (1..4) words of v.
inline void store_words(uint32_t* to, __m128i v, int count) {
    if (count == 4) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v);
        return;
    }
    if (count >= 2) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), v);
        v = _mm_unpackhi_epi64(v, v);
        to += 2;
    }
    if (count % 2 == 1) *to = uint32_t(_mm_cvtsi128_si32(v));
}

// Loads slots of one position after the other, the last of `positions` again and again.
template <typename Load>
class Source {
  public:
    Source(const SlotArguments& s, const Load& load_slots, int first_slot, int first_position,
           int positions)
        : load_slots_(load_slots),
          first_slot_(first_slot),
          from_(s.input + first_position * s.pitch),
          pitch_(s.pitch),
          last_(positions - 1),
          // Lanes of the flip: zero-extended bytes have it in their lower byte only.
          flip_(s.widen ? _mm256_set1_epi16(s.flip) : _mm256_set1_epi8(char(s.flip))) {}

    __m256i operator()(int position) const {
        const uint8_t* from = from_ + (position < last_ ? position : last_) * pitch_;
        return _mm256_xor_si256(load_slots_(from, first_slot_), flip_);
    }

  private:
    const Load& load_slots_;
    int first_slot_;
    const uint8_t* from_;
    ptrdiff_t pitch_;
    int last_;
    __m256i flip_;
};

// 8 positions and `slots` of 1..8.
template <typename Load>
void block8(const Source<Load>& source, int slots, uint32_t* out, ptrdiff_t out_pitch) {
    __m256i v[8];
    for (int p = 0; p < 8; ++p) v[p] = source(p);
    transpose(v);
    for (int q = 0; q < slots; ++q) store_unaligned(out + q * out_pitch, v[q]);
}

// `positions` of 1..4 and `slots` of 1..8.
template <typename Load>
void block4(const Source<Load>& source, int slots, int positions, uint32_t* out,
            ptrdiff_t out_pitch) {
    const __m256i v0 = source(0), v1 = source(1), v2 = source(2), v3 = source(3);
    const __m256i a0 = _mm256_unpacklo_epi32(v0, v1), a1 = _mm256_unpackhi_epi32(v0, v1);
    const __m256i a2 = _mm256_unpacklo_epi32(v2, v3), a3 = _mm256_unpackhi_epi32(v2, v3);
    const __m256i pairs[4] = {_mm256_unpacklo_epi64(a0, a2), _mm256_unpackhi_epi64(a0, a2),
                              _mm256_unpacklo_epi64(a1, a3), _mm256_unpackhi_epi64(a1, a3)};
    for (int q = 0; q < slots; ++q) {  // slots q and q + 4 share a vector
        const __m256i pair = pairs[q % 4];
        const __m128i words =
            q < 4 ? _mm256_castsi256_si128(pair) : _mm256_extracti128_si256(pair, 1);
        store_words(out + q * out_pitch, words, positions);
    }
}

template <typename Load>
void gather(const SlotArguments& s) {
    const Load load_slots(s);
    for (int p = 0; p < s.positions;) {
        const int left = s.positions - p;
        const int positions = left >= 8 ? 8 : left < 4 ? left : 4;
        for (int q = 0; q < s.slots; q += 8) {
            const int slots = s.slots - q < 8 ? s.slots - q : 8;
            const bool readable = (p + positions - 1) * s.pitch + load_slots.reach(q) <= s.readable;
            const Source<Load> source(s, load_slots, q, p, positions);
            uint32_t* out = s.out + q * s.out_pitch + p;
            if (!readable) {
                scalar::gather_some(s, q, q + slots, p, p + positions);
            } else if (slots == 8 && s.out_pitch == 1) {  // one position in all
                store_unaligned(out, source(0));
            } else if (positions == 8) {
                block8(source, slots, out, s.out_pitch);
            } else {
                block4(source, slots, positions, out, s.out_pitch);
            }
        }
        p += positions;
    }
}

void gather_any(const SlotArguments& s) {
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
            return scalar::gather_some(s, 0, s.slots, 0, s.positions);
    }
}

}  // namespace

decltype(KernelSet::gather_slots) const gather_slots = gather_any;

}  // namespace sub8::kernels::avx2
