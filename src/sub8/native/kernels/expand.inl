// Packed weights to the kernels' operands, for instruction sets whose vectors of bytes are their
// own: the including file defines, in an anonymous namespace, kPanel, Vector, load_unaligned,
// store and
//
//     struct Scales { Vector factors, bytes; }   // of a vector of codes; bytes: one each
//     Scales load_scales(const uint8_t* alpha);
//     Vector times(Vector codes, Vector factors);  // of bytes, where no product exceeds 255

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

// A step's two rows of ternary codes, from the bits `place` of their bytes on, times its scales.
// What is stored is a code plus one: 0 to 2, which times a scale is at most 254.
template <int place>
SUB8_INLINE void expand_step(const uint8_t* packed, const Scales* scales, int8_t* out) {
    for (int i = 0; i < kRow; i += kVector, ++scales) {
        const Vector p = load_unaligned(packed + i);
        const Scales &first = scales[0], &second = scales[kRow / kVector];
        const Bytes lower = Bytes(times(Vector(field<2, place>(p)), first.factors));
        const Bytes upper = Bytes(times(Vector(field<2, place + 2>(p)), second.factors));
        store(out + i, Vector(lower - Bytes(first.bytes)));
        store(out + kRow + i, Vector(upper - Bytes(second.bytes)));
    }
}

void expand_scaled(const uint8_t* packed, const uint8_t* alpha, const uint16_t* run_steps, int runs,
                   int8_t* out) {
    constexpr int kVectors = 2 * kRow / kVector;  // of a step
    bool odd = false;
    for (int run = 0; run < runs; ++run, alpha += kRow) {
        Scales scales[kVectors];
        for (int i = 0; i < kVectors; ++i) scales[i] = load_scales(alpha + i * kVector / 2);
        for (int k = 0; k < run_steps[run]; ++k, out += 2 * kRow) {
            if (odd) {
                expand_step<4>(packed, scales, out);
                packed += kRow;
            } else {
                expand_step<0>(packed, scales, out);
            }
            odd = !odd;
        }
    }
}
