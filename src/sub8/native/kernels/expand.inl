// Packed weights to the kernels' operands, for instruction sets whose vectors of bytes are their
// own: the including file defines, in an anonymous namespace, kPanel, Vector, load_unaligned,
// store and
//
//     Vector load_scales(const uint8_t* alpha);     // of one vector of codes
//     Vector product(Vector codes, Vector scales);  // its bytes' lower 8 bits

using Bytes = uint8_t __attribute__((vector_size(sizeof(Vector))));

constexpr int kRow = 2 * kPanel;  // bytes of packed weights that lie together
constexpr int kVector = sizeof(Vector);

// Calls unpack(vector, place) for every vector of packed weights. Each of its bytes holds a code of
// `fields` rows, the first of which goes to the place.
template <int fields, typename Unpack>
SUB8_INLINE void for_each_vector(const uint8_t* packed, int rows, int8_t* out,
                                 const Unpack& unpack) {
    for (int row = 0; row < rows / fields; ++row, packed += kRow, out += fields * kRow) {
        for (int i = 0; i < kRow; i += kVector) unpack(load_unaligned(packed + i), out + i);
    }
}

// The bits from `place` on of every byte.
template <int bits, int place>
SUB8_INLINE Bytes field(Vector packed) {
    const Bytes from = Bytes(packed) >> uint8_t{place};
    return place + bits == 8 ? from : from & uint8_t{(1 << bits) - 1};
}

template <int bits, uint8_t offset>
void expand(const uint8_t* packed, int rows, int8_t* out) {
    for_each_vector<8 / bits>(packed, rows, out, [](Vector p, int8_t* place) SUB8_INLINE_LAMBDA {
        store(place, Vector(field<bits, 0>(p) - offset));
        store(place + kRow, Vector(field<bits, bits>(p) - offset));
        if constexpr (bits == 2) {
            store(place + 2 * kRow, Vector(field<2, 4>(p) - offset));
            store(place + 3 * kRow, Vector(field<2, 6>(p) - offset));
        }
    });
}

void scale(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
           int8_t* out) {
    constexpr int kVectors = 2 * kRow / kVector;  // of a step
    for (int run = 0; run < runs; ++run, alpha += kRow) {
        Vector scales[kVectors], step[kVectors];
        for (int i = 0; i < kVectors; ++i) scales[i] = load_scales(alpha + i * kVector / 2);
        for (int k = 0; k < run_steps[run]; ++k, codes += 2 * kRow, out += 2 * kRow) {
            for (int i = 0; i < kVectors; ++i) step[i] = load_unaligned(codes + i * kVector);
            for (int i = 0; i < kVectors; ++i)
                store(out + i * kVector, product(step[i], scales[i]));
        }
    }
}
