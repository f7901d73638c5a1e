#include "executor/matmul.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "conv/scratch.h"
#include "conv/tiling.h"
#include "executor/sizes.h"
#include "numeric.h"

namespace sub8::executor {
namespace {

constexpr int kLine = 24;  // rows; whole tiles of 6, 4 and 3
constexpr std::int64_t kBlockBytes = 256 * 1024;
constexpr std::int64_t kStepBytes = 4;  // of a K-step and a row or column
// So long that sums of products of differences of bytes, and of what zero points add, fit int32.
constexpr std::int64_t kLongest = INT32_MAX / (2 * 255 * 255);

std::vector<std::int64_t> every(std::int64_t columns, std::int64_t value) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(columns), value);
}

std::vector<std::int64_t> leading_axes(const std::vector<std::int64_t>& sizes) {
    require(sizes.size() >= 3, "rows, inner and columns are needed");
    checked_product(sizes);
    return {sizes.begin(), sizes.end() - 3};
}

// Bytes that the matrices' elements reach over.
std::int64_t extent(const Matrices& m, std::vector<std::int64_t> leading, std::int64_t rows,
                    std::int64_t columns) {
    leading.insert(leading.end(), {rows, columns});
    return view_extent(leading, 0, m.strides);
}

std::int64_t stride(const Matrices& m, std::size_t place) {
    return m.strides[m.strides.size() - place];
}

std::int64_t offset(const Strides& strides, const std::vector<std::int64_t>& leading,
                    std::int64_t item) {
    std::int64_t found = 0;
    for (std::size_t axis = leading.size(); axis-- > 0; item /= leading[axis])
        found += item % leading[axis] * strides[axis];
    return found;
}

// Columns side by side: from[column * pitch] of so many steps of `step` bytes each, contiguous.
void copy_columns(const std::uint8_t* from, std::int64_t pitch, std::int64_t step, int columns,
                  std::int64_t count, std::uint8_t* to) {
    for (int column = 0; column < columns; ++column, from += pitch) {
        for (std::int64_t k = 0; k < count; ++k) *to++ = from[k * step];
    }
}

}  // namespace

struct MatMul::Room {
    std::uint8_t* packed;  // [panels of a block][steps][panel], kStepBytes each
    std::uint32_t*
        column_starts;          // [panels of a block][panel], where accumulators start for zero_a
    std::uint8_t* strip;        // [steps][kLine], kStepBytes each
    std::uint32_t* row_starts;  // [kLine], the same for zero_b
    std::int32_t* acc;          // [kLine][panel]
    std::uint8_t* apart;        // a line's rows or a panel's columns, made contiguous

    Room(const MatMul& step, void* memory) : scratch(memory) {
        const std::int64_t panel = step.kernels_.panel;
        const std::int64_t block = step.block_panels_ * panel;
        packed = take<std::uint8_t>(block * step.steps_ * kStepBytes);
        column_starts = take<std::uint32_t>(block * std::int64_t(sizeof(std::uint32_t)));
        strip = take<std::uint8_t>(kLine * step.steps_ * kStepBytes);
        row_starts = take<std::uint32_t>(kLine * std::int64_t(sizeof(std::uint32_t)));
        acc = take<std::int32_t>(kLine * panel * std::int64_t(sizeof(std::int32_t)));
        apart = take<std::uint8_t>(std::max<std::int64_t>(kLine, panel) * step.inner_);
    }

    template <typename T>
    T* take(std::int64_t bytes) {
        total += conv::aligned(bytes);
        return scratch.take<T>(conv::aligned(bytes));
    }

    conv::Scratch scratch;
    std::int64_t total = 0;
};

MatMul::MatMul(const kernels::KernelSet& kernels, Matrices a, Matrices b, const Buffer& out,
               std::vector<std::int64_t> sizes, const requantize::Params& result)
    : kernels_(kernels),
      tiles_(kernels.has_dot() ? kernels.dot : kernels.wide16),
      a_(std::move(a)),
      b_(std::move(b)),
      out_(out),
      leading_(leading_axes(sizes)),
      rows_(sizes.end()[-3]),
      inner_(sizes.end()[-2]),
      columns_(sizes.end()[-1]),
      lanes_(kernels.has_dot() ? 4 : 2),
      requantize_(kernels,
                  {every(columns_, 0),
                   every(columns_, std::min<std::int64_t>(inner_ * 255 * 255, INT32_MAX)), 0},
                  result) {
    require(inner_ <= kLongest, "the inner axis is too long for sums of 32 bits");
    require(!requantize::has_residual(result), "a product has no residual");
    const conv::StoredInput left(a_.format, kernels.signed_activations);
    flip_a_ = left.flip;
    zero_a_ = left.zero;
    // The right operand is int8 to dot products, and int16 less its zero point otherwise.
    const conv::StoredInput right(b_.format, kernels.has_dot());
    flip_b_ = right.flip;
    zero_b_ = kernels.has_dot() ? right.zero : 0;
    packed_zero_ = kernels.has_dot() ? 0 : right.zero;
    steps_ = pieces(inner_, lanes_);
    for (std::int64_t slot = 0; slot < steps_; ++slot) {
        for (int lane = 0; lane < 4; ++lane) {
            const std::int64_t element = slot * lanes_ + lane;
            slots_.push_back(lane < lanes_ && element < inner_ ? std::int32_t(element) : -1);
        }
    }
    panels_ = pieces(columns_, kernels.panel);
    const std::int64_t most = kBlockBytes / (steps_ * kernels.panel * kStepBytes);
    block_panels_ = std::min(panels_, std::max<std::int64_t>(most, 1));
    lines_ = pieces(rows_, kLine);
    const std::int64_t count = checked_product(leading_) * rows_ * columns_;
    reading(a_.buffer, extent(a_, leading_, rows_, inner_));
    reading(b_.buffer, extent(b_, leading_, inner_, columns_));
    writing(out_, requantize::is_8_bit(result) ? count : 4 * count);
}

std::size_t MatMul::scratch_bytes(int) const {
    return static_cast<std::size_t>(Room(*this, nullptr).total);
}

std::int64_t MatMul::panels_of_block(std::int64_t first) const {
    return std::min(block_panels_, panels_ - first);
}

void MatMul::run(const Frame& frame, const Worker& worker) const {
    const Room room(*this, worker.scratch);
    const std::int64_t items = checked_product(leading_);
    const Range part = share(items * lines_, worker);
    const int width = kernels_.panel;
    for (std::int64_t first = 0; first < panels_ && part.begin < part.end; first += block_panels_) {
        std::int64_t packed = -1;  // where the matrix that is packed lies
        for (std::int64_t unit = part.begin; unit < part.end; ++unit) {
            const std::int64_t item = unit / lines_, row = unit % lines_ * kLine;
            const std::int64_t place = offset(b_.strides, leading_, item);
            if (place != packed) {
                pack(b_.buffer.read(frame) + place, std::int64_t(b_.buffer.bytes()) - place, first,
                     room);
                packed = place;
            }
            const int rows = int(std::min<std::int64_t>(kLine, rows_ - row));
            const std::int64_t begin = offset(a_.strides, leading_, item) + row * stride(a_, 2);
            const std::uint8_t* a = a_.buffer.read(frame) + begin;
            if (stride(a_, 1) == 1) {
                gather(a, stride(a_, 2), rows, std::int64_t(a_.buffer.bytes()) - begin, flip_a_,
                       kLine, room.strip);
            } else {
                copy_columns(a, stride(a_, 2), stride(a_, 1), rows, inner_, room.apart);
                gather(room.apart, inner_, rows, rows * inner_, flip_a_, kLine, room.strip);
            }
            if (zero_b_ != 0) start_rows(a, rows, room);
            for (std::int64_t panel = 0; panel < panels_of_block(first); ++panel) {
                const std::uint32_t* starts = room.column_starts + panel * width;
                kernels::TileArguments tile{};
                tile.first = zero_a_ == 0 && zero_b_ == 0;
                for (int r = 0; r < rows && !tile.first; ++r) {
                    const std::uint32_t own = zero_b_ == 0 ? 0 : room.row_starts[r];
                    for (int j = 0; j < width; ++j)
                        room.acc[r * width + j] = std::int32_t(own + starts[j]);
                }
                tile.activations = room.strip;
                tile.pitch = kLine * kStepBytes;
                tile.row_pitch = kStepBytes;
                tile.weights = room.packed + panel * steps_ * width * kStepBytes;
                tile.steps = int(steps_);
                tile.acc = room.acc;
                conv::for_each_tile(rows, tiles_.rows, [&](int size, int count) {
                    tile.tiles = count;
                    tiles_.of[size](tile);
                    tile.activations += kStepBytes * size * count;
                    tile.acc += std::int64_t(size) * count * width;
                });
                const std::int64_t column = (first + panel) * width;
                requantize_.apply(room.acc, width, rows,
                                  int(std::min<std::int64_t>(width, columns_ - column)),
                                  int(column), item * rows_ + row, nullptr, out_.write(frame));
            }
        }
    }
}

// The sums of a line's rows as the kernels see them.
void MatMul::start_rows(const std::uint8_t* a, int rows, const Room& room) const {
    const std::int64_t step = stride(a_, 1);
    for (int r = 0; r < rows; ++r, a += stride(a_, 2)) {
        std::int32_t sum = 0;
        for (std::int64_t k = 0; k < inner_; ++k) {
            const std::uint8_t byte = std::uint8_t(a[k * step] ^ flip_a_);
            sum += kernels_.signed_activations ? std::int8_t(byte) : byte;
        }
        room.row_starts[r] =
            std::uint32_t(zero_b_) * (std::uint32_t(inner_ * zero_a_) - std::uint32_t(sum));
    }
}

void MatMul::gather(const std::uint8_t* from, std::int64_t pitch, int positions,
                    std::int64_t readable, std::uint8_t flip, std::int64_t out_pitch,
                    void* out) const {
    kernels::SlotArguments slots{};
    slots.input = from;
    slots.pitch = pitch;
    slots.positions = positions;
    slots.readable = readable;
    slots.order = lanes_ == 4 ? kernels::SlotOrder::contiguous : kernels::SlotOrder::wide;
    slots.table = slots_.data();
    slots.slots = int(steps_);
    slots.flip = flip;
    slots.widen = lanes_ == 2;
    slots.out = static_cast<std::uint32_t*>(out);
    slots.out_pitch = out_pitch;
    kernels_.gather_slots(slots);
}

// A block's panels of one matrix, from `b` on.
void MatMul::pack(const std::uint8_t* b, std::int64_t readable, std::int64_t first_panel,
                  const Room& room) const {
    const int width = kernels_.panel;
    const std::int64_t panel_bytes = steps_ * width * kStepBytes;
    const std::int64_t per_row = stride(b_, 2), per_column = stride(b_, 1);
    for (std::int64_t panel = 0; panel < panels_of_block(first_panel); ++panel) {
        const std::int64_t column = (first_panel + panel) * width;
        const int columns = int(std::min<std::int64_t>(width, columns_ - column));
        const std::uint8_t* from = b + column * per_column;
        std::uint8_t* to = room.packed + panel * panel_bytes;
        if (columns < width) std::memset(to, 0, std::size_t(panel_bytes));
        if (per_column == 1 && per_row != 1) {
            pack_across(from, columns, to);
        } else if (per_row == 1) {
            gather(from, per_column, columns, readable - column * per_column, flip_b_, width, to);
        } else {
            copy_columns(from, per_column, per_row, columns, inner_, room.apart);
            gather(room.apart, inner_, columns, columns * inner_, flip_b_, width, to);
        }
        if (packed_zero_ != 0) {
            std::int16_t* wide = reinterpret_cast<std::int16_t*>(to);
            const std::int16_t zero = std::int16_t(packed_zero_);
            for (std::int64_t i = 0; i < steps_ * width * 2; ++i)
                wide[i] = std::int16_t(wide[i] - zero);
        }
        const int used = int(inner_ - (steps_ - 1) * lanes_);  // lanes of the last step
        const std::int64_t lane_bytes = kStepBytes / lanes_;
        if (used < lanes_) {
            std::uint8_t* step = to + (steps_ - 1) * width * kStepBytes;
            for (int j = 0; j < width; ++j, step += kStepBytes)
                std::memset(step + used * lane_bytes, 0, std::size_t((lanes_ - used) * lane_bytes));
        }
        start_columns(to, room.column_starts + panel * width);
    }
}

// Columns that lie side by side: the rows of a step, element by element.
void MatMul::pack_across(const std::uint8_t* from, int columns, std::uint8_t* packed) const {
    const int width = kernels_.panel;
    const std::int64_t per_row = stride(b_, 2);
    for (std::int64_t step = 0; step < steps_; ++step, packed += width * kStepBytes) {
        const std::uint8_t* rows[4];
        for (int lane = 0; lane < lanes_; ++lane)
            rows[lane] = from + std::min(step * lanes_ + lane, inner_ - 1) * per_row;
        if (lanes_ == 4) {
            for (int j = 0; j < columns; ++j) {
                for (int lane = 0; lane < 4; ++lane)
                    packed[4 * j + lane] = std::uint8_t(rows[lane][j] ^ flip_b_);
            }
        } else {
            std::int16_t* wide = reinterpret_cast<std::int16_t*>(packed);
            for (int j = 0; j < columns; ++j) {
                wide[2 * j] = std::uint8_t(rows[0][j] ^ flip_b_);
                wide[2 * j + 1] = std::uint8_t(rows[1][j] ^ flip_b_);
            }
        }
    }
}

void MatMul::start_columns(const std::uint8_t* packed, std::uint32_t* starts) const {
    const int width = kernels_.panel;
    std::fill(starts, starts + width, 0);
    if (zero_a_ == 0) return;
    const std::int8_t* bytes = reinterpret_cast<const std::int8_t*>(packed);
    const std::int16_t* wide = reinterpret_cast<const std::int16_t*>(packed);
    for (std::int64_t step = 0; step < steps_; ++step) {
        for (int j = 0; j < width; ++j) {
            if (lanes_ == 4) {
                const std::int8_t* four = bytes + (step * width + j) * 4;
                starts[j] += std::uint32_t(four[0] + four[1] + four[2] + four[3]);
            } else {
                const std::int16_t* two = wide + (step * width + j) * 2;
                starts[j] += std::uint32_t(two[0] + two[1]);
            }
        }
    }
    for (int j = 0; j < width; ++j) starts[j] *= std::uint32_t(-zero_a_);
}

}  // namespace sub8::executor
