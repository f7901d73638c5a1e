// NHWC positions to slots (ARM NEON): blocks of 4 positions x 4 slots, transposed as 32-bit words.
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"
#include "kernels/unroll.h"

namespace sub8::kernels::neon {
namespace {

// Slots first_slot .. first_slot + 3 of one position, and the bytes after `from` that this reads.
struct Contiguous {
    explicit Contiguous(const SlotArguments&) {}
    ptrdiff_t start(int first_slot) const { return 4 * first_slot; }
    ptrdiff_t reach(int first_slot) const { return start(first_slot) + 16; }
    uint8x16_t operator()(const uint8_t* from) const { return vld1q_u8(from); }
};

struct Paired4 {
    explicit Paired4(const SlotArguments&) {}
    ptrdiff_t start(int first_slot) const { return 4 * first_slot; }
    ptrdiff_t reach(int first_slot) const { return start(first_slot) + 16; }
    // Of every eight bytes the second pair and the third change places.
    uint8x16_t operator()(const uint8_t* from) const {
        const uint16x8_t x = vreinterpretq_u16_u8(vld1q_u8(from));
        const uint16x8_t even = vuzp1q_u16(x, x), odd = vuzp2q_u16(x, x);
        const uint32x4_t both = vzip1q_u32(vreinterpretq_u32_u16(even), vreinterpretq_u32_u16(odd));
        // even: pairs 0 2 4 6, odd: pairs 1 3 5 7.
        return vreinterpretq_u8_u32(both);
    }
};

// 4 slots take 8 channels of each of the two clusters.
struct PairedLong {
    int cluster;
    explicit PairedLong(const SlotArguments& s) : cluster(s.cluster) {}
    ptrdiff_t start(int first_slot) const {
        const int channel = 2 * first_slot;  // of the first cluster of each pair, counted on
        return ptrdiff_t(channel / cluster) * 2 * cluster + channel % cluster;
    }
    ptrdiff_t reach(int first_slot) const { return start(first_slot) + cluster + 8; }
    uint8x16_t operator()(const uint8_t* from) const {
        const uint16x4_t lower = vreinterpret_u16_u8(vld1_u8(from));
        const uint16x4_t upper = vreinterpret_u16_u8(vld1_u8(from + cluster));
        const uint16x8_t both = vcombine_u16(vzip1_u16(lower, upper), vzip2_u16(lower, upper));
        return vreinterpretq_u8_u16(both);
    }
};

struct Wide {
    explicit Wide(const SlotArguments&) {}
    ptrdiff_t start(int first_slot) const { return 2 * first_slot; }
    ptrdiff_t reach(int first_slot) const { return start(first_slot) + 8; }
    uint8x16_t operator()(const uint8_t* from) const {
        return vreinterpretq_u8_u16(vmovl_u8(vld1_u8(from)));
    }
};

// Rows to columns.
SUB8_INLINE void transpose(uint32x4_t (&v)[4]) {
    const uint64x2_t a0 = vreinterpretq_u64_u32(vtrn1q_u32(v[0], v[1]));
    const uint64x2_t a1 = vreinterpretq_u64_u32(vtrn2q_u32(v[0], v[1]));
    const uint64x2_t a2 = vreinterpretq_u64_u32(vtrn1q_u32(v[2], v[3]));
    const uint64x2_t a3 = vreinterpretq_u64_u32(vtrn2q_u32(v[2], v[3]));
    v[0] = vreinterpretq_u32_u64(vtrn1q_u64(a0, a2));
    v[1] = vreinterpretq_u32_u64(vtrn1q_u64(a1, a3));
    v[2] = vreinterpretq_u32_u64(vtrn2q_u64(a0, a2));
    v[3] = vreinterpretq_u32_u64(vtrn2q_u64(a1, a3));
}

// The first `count` words of v.
SUB8_INLINE void store_words(uint32_t* to, uint32x4_t v, int count) {
    if (count == 4) return vst1q_u32(to, v);
    if (count == 1) return vst1q_lane_u32(to, v, 0);
    vst1_u32(to, vget_low_u32(v));
    if (count == 3) vst1q_lane_u32(to + 2, v, 2);
}

template <typename Load>
class Gather {
  public:
    explicit Gather(const SlotArguments& arguments)
        : s_(arguments),
          load_(arguments),
          // Lanes of the flip: zero-extended bytes have it in their lower byte only.
          flip_(s_.widen ? vreinterpretq_u8_u16(vdupq_n_u16(s_.flip)) : vdupq_n_u8(s_.flip)) {}

    void run() const {
        if (s_.out_pitch == 1) return one_position();
        int p = 0;
        for (; p + 4 <= s_.positions; p += 4) blocks<4>(p);
        switch (s_.positions - p) {
            case 1:
                return blocks<1>(p);
            case 2:
                return blocks<2>(p);
            case 3:
                return blocks<3>(p);
        }
    }

  private:
    // How many slots' blocks may be read, of positions up to `end`; the others go one by one.
    int readable_slots(int end) const {
        const ptrdiff_t last = (end - 1) * s_.pitch;
        int slots = s_.slots;
        while (slots > 0 && last + load_.reach((slots - 1) / 4 * 4) > s_.readable)
            slots = (slots - 1) / 4 * 4;
        return slots;
    }

    template <int positions>
    void blocks(int first) const {
        const int slots = readable_slots(first + positions);
        const uint8_t* const input = s_.input + first * s_.pitch;
        const ptrdiff_t pitch = s_.pitch, out_pitch = s_.out_pitch;
        uint32_t* out = s_.out + first;
        for (int q = 0; q < slots; q += 4, out += 4 * out_pitch) {
            const uint8_t* const from = input + load_.start(q);
            uint32x4_t v[4];
            for (int p = 0; p < 4; ++p) {
                const int position = p < positions ? p : positions - 1;
                const uint8x16_t bytes = load_(from + position * pitch);
                v[p] = vreinterpretq_u32_u8(veorq_u8(bytes, flip_));
            }
            transpose(v);
            store_words(out, v[0], positions);
            if (q + 1 < slots) store_words(out + out_pitch, v[1], positions);
            if (q + 2 < slots) store_words(out + 2 * out_pitch, v[2], positions);
            if (q + 3 < slots) store_words(out + 3 * out_pitch, v[3], positions);
        }
        if (slots < s_.slots) scalar::gather_some(s_, slots, s_.slots, first, first + positions);
    }

    // Its slots lie together.
    void one_position() const {
        const int slots = readable_slots(1) / 4 * 4;
        for (int q = 0; q < slots; q += 4) {
            const uint8x16_t bytes = load_(s_.input + load_.start(q));
            vst1q_u32(s_.out + q, vreinterpretq_u32_u8(veorq_u8(bytes, flip_)));
        }
        if (slots < s_.slots) scalar::gather_some(s_, slots, s_.slots, 0, 1);
    }

    const SlotArguments& s_;
    const Load load_;
    const uint8x16_t flip_;
};

void gather_any(const SlotArguments& s) {
    switch (s.order) {
        case SlotOrder::contiguous:
            return Gather<Contiguous>(s).run();
        case SlotOrder::paired4:
            return Gather<Paired4>(s).run();
        case SlotOrder::paired_long:
            return Gather<PairedLong>(s).run();
        case SlotOrder::wide:
            return Gather<Wide>(s).run();
        case SlotOrder::table:
            return scalar::gather_some(s, 0, s.slots, 0, s.positions);
    }
}

}  // namespace

decltype(KernelSet::gather_slots) const gather_slots = gather_any;

}  // namespace sub8::kernels::neon
