// Depthwise convolution to the end, column by column (x86 with VNNI): vectors `V` of any width, the
// lanes of an instruction set with dot products (avxvnni/lanes256.h, avx512vnni/lanes512.h).
//
// A vector holds one byte of every channel of a block, of one line or of several. Those of four
// rows are interleaved once, so that vpdpbusd multiplies them with four taps, and serve every
// position that takes the column: as many sums grow at once as positions share a column. A fifth
// row's bytes only change places, and are multiplied by themselves: other bytes' weights are 0.
//
// Results stay in registers from the first product to the byte.

// Four vectors of int32: channels of a place as depthwise_line_channel has them.
template <typename V>
struct LineSums {
    typename V::Ints v[4];
};

template <typename V, int lines, int rows, int columns, int stride>
class Line {
    static_assert(rows == 3 || rows == 5);
    using Ints = typename V::Ints;
    static constexpr int kVector = 4 * V::count;                             // bytes
    static constexpr int kColumnWeights = (rows > 4 ? 2 : 1) * 4 * kVector;  // bytes
    static constexpr int kLive = (columns + stride - 1) / stride;            // positions at a time

  public:
    explicit SUB8_INLINE Line(const DepthwiseLineArguments& t)
        : t_(t),
          flip_(V::set8(t.flip)),
          low_(V::set8(t.low)),
          high_(V::set8(t.high)),
          out_flip_(V::set8(t.out_flip)),
          adjusts_((t.low | t.out_flip) != 0) {
        for (int i = 0; i < lines * rows; ++i) rows_[i] = t.rows[i];
        for (int i = 0; t.out != nullptr && i < lines; ++i) out_[i] = t.out[i];
        for (int i = 0; i < kLive; ++i) clear(sums_[i]);
    }

    SUB8_INLINE void run() {
        const int steps = t_.positions + kLive - 1;
        for (int position = 0; position < steps; position += kLive) steps_from<0>(position, steps);
    }

  private:
    // Positions take the registers by turns: `phase` of them began in this round.
    template <int phase>
    SUB8_INLINE void steps_from(int position, int steps) {
        const int now = position + phase;
        if (now >= steps) return;
        const int at = t_.first + now * stride;
        // All positions are there, and all columns. Not worth its code where a step is long.
        if (rows < 5 && now >= kLive - 1 && now < t_.positions && at >= 0 &&
            at + stride <= t_.columns) {
            step<phase, 0, true>(now, at);
        } else {
            step<phase, 0, false>(now, at);
        }
        if constexpr (phase + 1 < kLive) steps_from<phase + 1>(position, steps);
    }

    // The columns that this position's first taps begin with, for all positions that take them.
    template <int phase, int column, bool whole>
    SUB8_INLINE void step(int position, int at) {
        constexpr int kEnding = kLive - 1;  // positions ago
        constexpr bool ends = kEnding * stride + column == columns - 1;
        const bool inside = whole || unsigned(at) < unsigned(t_.columns);
        if (column == 0) clear(sums_[phase]);
        if (inside || t_.padding != nullptr) {
            Ints x[4], last[1];
            read(inside ? at : -1, x, last);
            add<phase, column, 0, whole>(position, x, last);
        }
        if constexpr (ends) {
            const int ending = position - kEnding;
            if (whole || ending >= 0) put(sums_[(phase + 1) % kLive], ending);
            if (!whole && ending == t_.positions - 1) return;
        }
        if constexpr (column + 1 < stride) step<phase, column + 1, whole>(position, at + 1);
    }

    // at: -1: the padding.
    SUB8_INLINE void read(int at, Ints (&x)[4], Ints (&last)[1]) const {
        Ints row[rows];
        for (int i = 0; i < rows; ++i) {
            const uint8_t* from[lines];
            for (int line = 0; line < lines; ++line)
                from[line] = at < 0 ? t_.padding : rows_[line * rows + i] + at * t_.step;
            row[i] = V::load_parts(from);
        }
        if (t_.flip != 0) {
            for (int i = 0; i < rows; ++i) row[i] = V::xor_(row[i], flip_);
        }
        const Ints fourth = rows > 3 ? row[3] : V::zero();
        const Ints a = V::unpack_low8(row[0], row[1]), b = V::unpack_high8(row[0], row[1]);
        const Ints c = V::unpack_low8(row[2], fourth), d = V::unpack_high8(row[2], fourth);
        x[0] = V::unpack_low16(a, c);
        x[1] = V::unpack_high16(a, c);
        x[2] = V::unpack_low16(b, d);
        x[3] = V::unpack_high16(b, d);
        if constexpr (rows > 4) {
            last[0] = V::shuffle8(row[4], V::in_each_lane(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                        6, 10, 14, 3, 7, 11, 15)));
        }
    }

    // To the position that began `ago` steps ago, and those before it.
    template <int phase, int column, int ago, bool whole>
    SUB8_INLINE void add(int position, const Ints (&x)[4], const Ints (&last)[1]) {
        constexpr int tap = ago * stride + column;
        if constexpr (tap < columns) {
            if (whole || unsigned(position - ago) < unsigned(t_.positions)) {
                Ints(&sums)[4] = sums_[(phase + kLive - ago) % kLive].v;
                const int8_t* const w = t_.weights + tap * kColumnWeights;
                for (int i = 0; i < 4; ++i)
                    sums[i] = V::dot(sums[i], x[i], V::load(w + i * kVector));
                if constexpr (rows > 4) {
                    for (int i = 0; i < 4; ++i)
                        sums[i] = V::dot(sums[i], last[0], V::load(w + (4 + i) * kVector));
                }
            }
        }
        if constexpr (ago + 1 < kLive) add<phase, column, ago + 1, whole>(position, x, last);
    }

    SUB8_INLINE void put(const LineSums<V>& sums, int position) const {
        if (t_.out == nullptr) return put_sums(sums, position);
        Ints v[4];
        for (int i = 0; i < 4; ++i) {
            v[i] = V::rounded_sum(sums.v[i], V::loadf(t_.scale + i * V::count),
                                  V::loadf(t_.offset + i * V::count));
        }
        // Packing puts channels back in order.
        Ints bytes = V::packus16(V::packs32(v[0], v[1]), V::packs32(v[2], v[3]));
        bytes = V::min_u8(bytes, high_);
        if (adjusts_) bytes = V::xor_(V::max_u8(bytes, low_), out_flip_);
        const ptrdiff_t at = position * t_.pitch;
        if constexpr (lines == 1) V::store(out_[0] + at, bytes);
        if constexpr (lines == 2) {
            V::template store_half<0>(out_[0] + at, bytes);
            V::template store_half<1>(out_[1] + at, bytes);
        }
        if constexpr (lines == 4) {
            V::template store_quarter<0>(out_[0] + at, bytes);
            V::template store_quarter<1>(out_[1] + at, bytes);
            V::template store_quarter<2>(out_[2] + at, bytes);
            V::template store_quarter<3>(out_[3] + at, bytes);
        }
    }

    SUB8_INLINE void put_sums(const LineSums<V>& sums, int position) const {
        Ints v[4];
        V::transpose_lanes(sums.v, v);
        constexpr int kBlock = kVector / lines;
        for (int i = 0; i < 4; ++i) {
            if (t_.factors != nullptr) v[i] = V::mul32(v[i], V::load(t_.factors + i * V::count));
            const int line = i * lines / 4, channel = i * V::count % kBlock;
            V::store(t_.acc + (line * t_.positions + position) * kBlock + channel, v[i]);
        }
    }

    static SUB8_INLINE void clear(LineSums<V>& sums) {
        for (int i = 0; i < 4; ++i) sums.v[i] = V::zero();
    }

    const DepthwiseLineArguments t_;
    const uint8_t* rows_[lines * rows];
    uint8_t* out_[lines];
    const Ints flip_, low_, high_, out_flip_;
    const bool adjusts_;
    LineSums<V> sums_[kLive];
};

template <typename V, int lines, int rows, int columns, int stride>
void depthwise_line(const DepthwiseLineArguments& t) {
    Line<V, lines, rows, columns, stride>(t).run();
}

template <typename V, int lines>
DepthwiseLine depthwise_line_of(int rows, int columns, int stride) {
    if (rows == 3 && columns == 3 && stride == 1) return depthwise_line<V, lines, 3, 3, 1>;
    if (rows == 3 && columns == 3 && stride == 2) return depthwise_line<V, lines, 3, 3, 2>;
    if (rows == 5 && columns == 5 && stride == 1) return depthwise_line<V, lines, 5, 5, 1>;
    if (rows == 5 && columns == 5 && stride == 2) return depthwise_line<V, lines, 5, 5, 2>;
    return nullptr;
}
