// Winograd's minimal filtering (Lavin and Gray, arXiv 1509.09308), in whole numbers.
//
// F(m, r) computes m outputs of a row filtered by r weights from m + r - 1 inputs with as many
// products, its *points*, instead of m r: y = At ((G g) * (Bt d)). In two directions a tile of
// m x n outputs takes (m + r - 1)(n + r - 1) products for every input channel; an output of a 3x3
// kernel thus 4 with tiles of 2x2, 3 with 2x4 and 2.25 with 4x4, instead of 9. Products of a point
// over all channels are a matrix product of int16.
//
// G holds fractions. Here every row of G is multiplied by its denominator (kKernelTransform...) and
// At by what makes up for it, so that all is whole and the result `scale` times too large: 2 for
// F(2, 3), 24 for F(4, 3) and F(3, 4). Everything wraps around modulo 2^32, which harms nothing:
// the scale of a form is an odd number times 2^shift; the odd number has an inverse modulo 2^32,
// and the shift is undone by an arithmetic one, exactly where |y| < 2^(31 - shift).
//
// Example, F(2, 3), input 1 2 3 4, weights 5 6 7 (y0 = 38, y1 = 56): Bt d = 1-3, 2+3, 3-2, 2-4;
// kernel 5, 5+6+7, 5-6+7, 7; products -10, 90, 6, -14; 2 y0 = 2 (-10) + 90 + 6, 2 y1 = 90 - 6 -
// 2 (-14).
#pragma once

#include <cstddef>
#include <cstdint>

namespace sub8::kernels {

constexpr int kWinogradForms = 3;
constexpr int kWinogradChannels = 16;  // the input transform takes so many at a time

// Transformed inputs of uint8 are at most 255 * (8 * 8 + 2 * 2) = 17340, so that they fit int16.
constexpr int kKernelTransform2x3[4][3] = {{1, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 1}};
constexpr int kKernelTransform4x3[6][3] = {{1, 0, 0}, {1, 1, 1},  {1, -1, 1},
                                           {1, 2, 4}, {1, -2, 4}, {0, 0, 1}};
constexpr int kKernelTransform3x4[6][4] = {{1, 0, 0, 0}, {1, 1, 1, 1},   {1, -1, 1, -1},
                                           {1, 2, 4, 8}, {1, -2, 4, -8}, {0, 0, 0, 1}};

// A row of tiles. Points are numbered row by row.
struct WinogradInput {
    const uint8_t* input;  // the first tile's first input
    ptrdiff_t pitch;       // bytes from row to row
    int channels;          // a multiple of kWinogradChannels; also the bytes from column to column
    int tiles;             // side by side, overlapping
    uint8_t flip;          // XORed into every input byte, so that it is unsigned
    int16_t* out;          // point p, tile t, channel c: out[p * point_pitch + t * channels + c]
    ptrdiff_t point_pitch;
};

// The 3x3 weights of a panel of outputs.
struct WinogradWeights {
    const int8_t* codes;        // [slots][3][3][panel][lanes]
    int lanes;                  // 4, or 2
    int slots;                  // of `lanes` channels
    const uint8_t* alpha;       // [panel][2] for lanes 0 1 | 2 3, or for lanes 0 and 1; null: all 1
    const int32_t* alpha_runs;  // which of them a slot has, [slots]
    // The pair of channels that two lanes hold, -1: none. [slots][lanes / 2]
    const int32_t* pairs;
    int16_t* out;           // [points][pairs of channels][panel][2], 64-byte aligned
    ptrdiff_t point_pitch;  // int16 from point to point
};

// A row of tiles of a panel.
struct WinogradOutput {
    const int32_t* products;  // [points][tiles][panel], 64-byte aligned
    ptrdiff_t point_pitch;    // int32 from point to point
    int tiles;
    const int32_t* factor;  // [panel] of the results, null: 1
    int32_t* acc;           // output row r, column c: acc + r * row_pitch + c * panel
    ptrdiff_t row_pitch;
};

struct WinogradEdges;

struct WinogradForm {
    int rows, columns;  // outputs of a tile
    int taps;           // of the kernel, in each direction
    int shift;          // see above
    void (*input)(const WinogradInput&);
    void (*weights)(const WinogradWeights&);  // null but for 3 taps
    void (*output)(const WinogradOutput&);
    const WinogradEdges* edges;  // of tiles of 4x4 outputs; else null

    int points_down() const { return rows + taps - 1; }
    int points_across() const { return columns + taps - 1; }
    int points() const { return points_down() * points_across(); }
};

// Smaller tiles beside and below tiles of 4x4, where two outputs or one are left. The points of
// F(2, 3) are among those of F(4, 3), number 0, 1, 2 and 5, and their kernels the same: these tiles
// lie on the grid of 6x6 points too and do without the rest of it.
struct WinogradEdges {
    WinogradForm right;   // 4x2
    WinogradForm below;   // 2x4
    WinogradForm corner;  // 2x2
};

constexpr bool on_edge_grid(int point) { return point < 3 || point == 5; }

struct WinogradForms {
    WinogradForm taps3[kWinogradForms];  // by falling savings
    WinogradForm taps4;
};

}  // namespace sub8::kernels
