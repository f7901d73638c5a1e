#include "conv/strip.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "conv/padded_row.h"
#include "conv/scratch.h"
#include "conv/select.h"
#include "numeric.h"

namespace sub8::conv {
namespace {

// A strip should stay in the first-level cache, beside expanded weights and accumulators, ...
constexpr int64_t kStripBytes = 16 * 1024;
// ... but be long enough that expanding the weights anew for it costs little (2 % at 96 positions),
// ...
constexpr int kSmallestChunk = 224;  // positions
// ... though not so long that it leaves the second-level cache.
constexpr int64_t kLargestStripBytes = 256 * 1024;
constexpr int kFewPositions = 96;
// Whole numbers of tiles of 6, 4 and 3 positions. Gathering is quicker for longer lines, but a tile
// then uses less of every cache line.
constexpr int kShortLine = 12;
constexpr int kLongLine = 24;
constexpr int kStepsOfLongLines = 128;
// Lines are copied in pieces of so many positions; what follows them is overwritten.
constexpr int kCopied = kShortLine;
// Bytes that kernels may read behind padded rows.
constexpr int kMargin = 64;
// Of a padded row, whose copying takes about as long as gathering a slot.
constexpr int kBytesOfASlot = 32;

}  // namespace

StripPlan::StripPlan(const kernels::KernelSet& kernels, const WeightShape& shape,
                     const std::vector<Stream>& streams, bool folded, const ConvGeometry& geometry,
                     const InputFormat& input, const StoredInput& stored)
    : kernels_(kernels),
      shape_(shape),
      geometry_(geometry),
      zero_point_(input.zero_point),
      folded_(folded),
      flip_(stored.flip),
      channels_(shape.groups * shape.inputs) {
    input_bytes_ = int64_t(geometry.batch) * geometry.in_h * geometry.in_w * channels_;
    pointwise_ = shape.kernel_h == 1 && shape.kernel_w == 1 && geometry.pad_top == 0 &&
                 geometry.pad_left == 0 &&
                 int64_t(geometry.out_h - 1) * geometry.stride_h < geometry.in_h &&
                 int64_t(geometry.out_w - 1) * geometry.stride_w < geometry.in_w;
    columns_ = int64_t(geometry.out_w - 1) * geometry.stride_w +
               int64_t(shape.kernel_w - 1) * geometry.dilation_w + 1;
    rows_per_output_ = (shape.kernel_h - 1) * geometry.dilation_h + 1;
    reading_ = way_of_reading(streams);
    add_sections(streams);
    add_phases(folded ? 1 : shape.kernel_w);
    add_steps(streams);

    const int64_t images_rows = int64_t(geometry.batch) * geometry.out_h;
    units_ = pointwise_ ? images_rows * geometry.out_w : images_rows;
    const bool in_strip = reading_ == Reading::strip;
    const bool long_lines =
        reading_ == Reading::in_place || (in_strip && steps_ <= kStepsOfLongLines);
    const int longest = long_lines ? kLongLine : kShortLine;
    line_positions_ = int(std::min<int64_t>(longest, images_rows * geometry.out_w));
    const int64_t position_bytes = int64_t(steps_) * 4;
    rows_bytes_ = padded_row_bytes_ = 0;
    if (pointwise_) {
        const int64_t chunk = kStripBytes / position_bytes / line_positions_ * line_positions_;
        units_per_chunk_ = even_chunk(units_, std::max<int64_t>(chunk, kSmallestChunk));
    } else {
        const auto rows_of = [&](int64_t positions) { return pieces(positions, geometry.out_w); };
        // Input rows that two chunks need are arranged twice, so that tall kernels get tall chunks.
        const int64_t wanted = std::max({rows_of(kStripBytes / position_bytes),
                                         rows_of(kSmallestChunk), int64_t(rows_per_output_) + 1});
        const int64_t unit_bytes =
            in_strip ? position_bytes * geometry.out_w : row_step_ * row_pitch_;
        const int64_t most = kLargestStripBytes / unit_bytes;
        units_per_chunk_ =
            even_chunk(geometry.out_h, std::max(rows_of(kFewPositions), std::min(wanted, most)));
        const int64_t rows = int64_t(units_per_chunk_ - 1) * row_step_ + rows_per_output_;
        rows_bytes_ = in_strip ? round_up((rows * row_pitch_ + kCopied) * 4, kCacheLine)
                               : rows * row_pitch_ + kMargin;
        if (folded && in_strip)
            padded_row_bytes_ = round_up(columns_ * channels_ + kMargin, kCacheLine);
    }
    const int64_t words = int64_t(lines(units_per_chunk_).count()) * steps_ * line_positions_;
    strip_bytes_ = in_strip ? round_up((words + kCopied) * 4, kCacheLine) : 0;
}

StripPlan::Reading StripPlan::way_of_reading(const std::vector<Stream>& streams) const {
    const bool as_they_lie =
        std::all_of(streams.begin(), streams.end(), [this](const Stream& stream) {
            return stream.slot_order == kernels::SlotOrder::contiguous && stream.lanes() == 4 &&
                   tile_kernels(kernels_, stream).rows_apart;
        });
    if (!as_they_lie || (shape_.inputs % 4 != 0 && !folded_)) return Reading::strip;
    if (!pointwise_) {
        const bool gaps = folded_ && geometry_.dilation_w > 1;
        const bool near = odd_lines(columns_ * channels_) <= INT32_MAX / rows_per_output_;
        return shape_.groups == 1 && !gaps && near ? Reading::rows : Reading::strip;
    }
    const bool same_size = geometry_.stride_h == 1 && geometry_.stride_w == 1 &&
                           geometry_.out_h == geometry_.in_h && geometry_.out_w == geometry_.in_w;
    return same_size && flip_ == 0 ? Reading::in_place : Reading::strip;
}

int64_t StripPlan::row_pitch() const {
    switch (reading_) {
        case Reading::strip:
            return 4;
        case Reading::in_place:
            return channels_;
        default:
            return int64_t(geometry_.stride_w) * channels_;
    }
}

const uint8_t* StripPlan::line_start(const uint8_t* input, const uint8_t* scratch, int group,
                                     int64_t first, const Lines& lines, int line) const {
    switch (reading_) {
        case Reading::strip:
            return scratch + int64_t(line) * steps_ * pitch();
        case Reading::in_place:
            return input + (first + lines.begin(line)) * channels_ + int64_t(group) * shape_.inputs;
        default:
            return scratch + lines.row(line) * row_step_ * row_pitch_ +
                   lines.begin(line) * row_pitch();
    }
}

int64_t StripPlan::place(int index, int step) const {
    switch (reading_) {
        case Reading::strip:
            return (int64_t(first_step_[index]) + step) * pitch();
        case Reading::in_place:
            return int64_t(step) * pitch();
        default:
            return sources_[first_step_[index] + step];
    }
}

// Where the taps of a kernel's row lie in an arranged row.
void StripPlan::add_phases(int taps_w) {
    int largest_shift = 0;
    for (int kx = 0; kx < taps_w; ++kx) {
        const int column = folded_ ? 0 : kx * geometry_.dilation_w;
        const int residue = column % geometry_.stride_w;
        const auto found = std::find(phases_.begin(), phases_.end(), residue);
        phase_of_tap_.push_back(int(found - phases_.begin()));
        if (found == phases_.end()) phases_.push_back(residue);
        shift_of_tap_.push_back(column / geometry_.stride_w);
        largest_shift = std::max(largest_shift, shift_of_tap_.back());
    }
    row_positions_ = geometry_.out_w + largest_shift;
    row_pitch_ = reading_ == Reading::rows ? odd_lines(columns_ * channels_)
                                           : int64_t(phases_.size()) * slots_ * row_positions_;
    const bool skips = shape_.kernel_h == 1 && reading_ == Reading::strip;  // rows that none needs
    row_step_ = skips ? 1 : geometry_.stride_h;
}

// Streams that read the same share their steps.
void StripPlan::add_steps(const std::vector<Stream>& streams) {
    steps_ = 0;
    for (std::size_t index = 0; index < streams.size(); ++index) {
        const int first_slot = sections_[section_of_stream_[index]].first_slot;
        std::vector<int64_t> sources;
        for (const KStep& step : streams[index].steps) {
            const int64_t row = int64_t(step.ky) * geometry_.dilation_h * row_pitch_;
            if (reading_ == Reading::rows) {
                const int64_t column = int64_t(step.kx) * geometry_.dilation_w * channels_;
                sources.push_back(row + column + 4 * step.slot);
                continue;
            }
            const int64_t slot = first_slot + step.slot;
            sources.push_back(row +
                              (phase_of_tap_[step.kx] * int64_t(slots_) + slot) * row_positions_ +
                              shift_of_tap_[step.kx]);
        }
        const auto same =
            std::search(sources_.begin(), sources_.end(), sources.begin(), sources.end());
        first_step_.push_back(int(same - sources_.begin()));
        if (same == sources_.end()) sources_.insert(sources_.end(), sources.begin(), sources.end());
    }
    if (int64_t(sources_.size()) > INT32_MAX / (4 * kLongLine))
        throw std::invalid_argument("convolution: kernels are too large");
    steps_ = int(sources_.size());
    for (int step = 0; step < steps_ && reading_ == Reading::rows; ++step)
        pitches_.push_back(step + 1 < steps_ ? int32_t(sources_[step + 1] - sources_[step]) : 0);
}

void StripPlan::add_sections(const std::vector<Stream>& streams) {
    slots_ = 0;
    for (const Stream& stream : streams) {
        Section section;
        section.order = stream.slot_order;
        section.widen = stream.arithmetic == kernels::Arithmetic::wide16;
        section.cluster = stream.cluster;
        section.first_slot = slots_;
        section.slots = int(stream.slots.size());
        for (const Slot& slot : stream.slots) {
            for (int channel : slot) {
                if (folded_ && channel >= 0) {
                    channel = channel / shape_.inputs * geometry_.dilation_w * channels_ +
                              channel % shape_.inputs;
                }
                section.table.push_back(channel);
            }
        }
        if (folded_ && geometry_.dilation_w > 1) section.order = kernels::SlotOrder::table;
        int same = 0;
        while (same < int(sections_.size()) &&
               (sections_[same].widen != section.widen || sections_[same].table != section.table)) {
            ++same;
        }
        if (same == int(sections_.size())) {
            slots_ += section.slots;
            sections_.push_back(std::move(section));
        }
        section_of_stream_.push_back(same);
    }
}

int64_t StripPlan::chunk_limit(int64_t unit) const {
    const int64_t limit = unit + units_per_chunk_;
    if (pointwise_) return std::min(limit, units_);
    const int64_t image_end = (unit / geometry_.out_h + 1) * geometry_.out_h;
    return std::min(limit, image_end);
}

int64_t StripPlan::slots_per_unit() const {
    if (reading_ == Reading::in_place) return 0;
    if (reading_ == Reading::rows) return row_step_ * row_pitch_ / kBytesOfASlot;
    if (pointwise_) return slots_;
    const int64_t copies = int64_t(steps_) * geometry_.out_w / kCopied;
    return row_pitch_ * std::min(row_step_, rows_per_output_) + copies;
}

uint32_t StripPlan::pad_word(const Section& section) const {
    const uint32_t byte = uint8_t(uint8_t(zero_point_) ^ flip_);
    return byte * (section.widen ? 0x00010001u : 0x01010101u);
}

void StripPlan::gather(const Section& section, const uint8_t* from, int64_t pitch, int64_t readable,
                       int positions, uint32_t* out, int64_t out_pitch) const {
    kernels::SlotArguments arguments;
    arguments.input = from;
    arguments.pitch = pitch;
    arguments.readable = readable;
    arguments.positions = positions;
    arguments.order = section.order;
    arguments.cluster = section.cluster;
    arguments.table = section.table.data();
    arguments.slots = section.slots;
    arguments.widen = section.widen;
    arguments.flip = flip_;
    arguments.out = out;
    arguments.out_pitch = out_pitch;
    kernels_.gather_slots(arguments);
}

void StripPlan::build_row(const uint8_t* input, int group, int image, int row, uint8_t* arranged,
                          uint8_t* padded_row) const {
    uint32_t* words = reinterpret_cast<uint32_t*>(arranged);
    const bool inside = row >= 0 && row < geometry_.in_h;
    if (!inside) {
        for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
            for (const Section& section : sections_) {
                uint32_t* out =
                    words + (int64_t(phase) * slots_ + section.first_slot) * row_positions_;
                std::fill_n(out, int64_t(section.slots) * row_positions_, pad_word(section));
            }
        }
        return;
    }
    const int64_t row_start = (int64_t(image) * geometry_.in_h + row) * geometry_.in_w * channels_;
    const int stride = geometry_.stride_w;
    if (folded_) {
        const int64_t image_bytes = int64_t(geometry_.in_h) * geometry_.in_w * channels_;
        copy_padded_row(input + image * image_bytes, geometry_, row, channels_, columns_,
                        zero_point_, padded_row);
        for (const Section& section : sections_) {
            gather(section, padded_row, int64_t(stride) * channels_, int64_t(padded_row_bytes_),
                   geometry_.out_w, words + int64_t(section.first_slot) * row_positions_,
                   row_positions_);
        }
        return;
    }
    for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
        // Position p of this phase is input column p * stride + residue - pad_left.
        const int column = phases_[phase] - geometry_.pad_left;
        const int begin =
            std::min(row_positions_, column >= 0 ? 0 : (-column + stride - 1) / stride);
        const int last = geometry_.in_w - 1 - column;  // largest p * stride inside
        const int end = std::max(begin, std::min(row_positions_, last < 0 ? 0 : last / stride + 1));
        for (const Section& section : sections_) {
            uint32_t* out = words + (int64_t(phase) * slots_ + section.first_slot) * row_positions_;
            const uint32_t pad = pad_word(section);
            for (int slot = 0; slot < section.slots; ++slot) {
                uint32_t* slot_row = out + int64_t(slot) * row_positions_;
                std::fill(slot_row, slot_row + begin, pad);
                std::fill(slot_row + end, slot_row + row_positions_, pad);
            }
            if (end == begin) continue;
            const int64_t first =
                row_start + (int64_t(begin) * stride + column) * channels_ + group * shape_.inputs;
            gather(section, input + first, int64_t(stride) * channels_, input_bytes_ - first,
                   end - begin, out + begin, row_positions_);
        }
    }
}

void StripPlan::build(const uint8_t* input, int group, int64_t first, int count,
                      uint8_t* scratch) const {
    if (reading_ == Reading::in_place) return;
    if (reading_ == Reading::rows) return copy_rows(input, first, count, scratch);
    if (pointwise_) return gather_lines(input, group, first, count, scratch);
    uint8_t* const arranged = scratch + strip_bytes_;
    const int image = int(first / geometry_.out_h);
    const int first_row = int(first % geometry_.out_h);
    const int rows = shape_.kernel_h == 1 ? count : (count - 1) * row_step_ + rows_per_output_;
    for (int r = 0; r < rows; ++r) {
        const int row = (shape_.kernel_h == 1 ? (first_row + r) * geometry_.stride_h
                                              : first_row * geometry_.stride_h + r) -
                        geometry_.pad_top;
        build_row(input, group, image, row, arranged + r * row_pitch_ * 4, arranged + rows_bytes_);
    }
    copy_lines(arranged, count, scratch);
}

void StripPlan::copy_rows(const uint8_t* input, int64_t first, int count, uint8_t* rows) const {
    const int64_t image_bytes = int64_t(geometry_.in_h) * geometry_.in_w * channels_;
    const uint8_t* const image = input + first / geometry_.out_h * image_bytes;
    const int top = int(first % geometry_.out_h) * geometry_.stride_h - geometry_.pad_top;
    const int64_t bytes = columns_ * channels_;
    const int wanted = (count - 1) * row_step_ + rows_per_output_;
    const uint8_t flip = flip_;  // which no row overwrites, as far as the compiler knows
    for (int r = 0; r < wanted; ++r, rows += row_pitch_) {
        copy_padded_row(image, geometry_, top + r, channels_, columns_, zero_point_, rows);
        for (int64_t i = 0; flip != 0 && i < bytes; ++i) rows[i] ^= flip;
    }
}

void StripPlan::copy_lines(const uint8_t* rows, int count, uint8_t* strip) const {
    struct Part {  // of a line, within one output row
        const uint32_t* from;
        int to;
        int positions;
    };
    const Lines cut = lines(count);
    int row = 0, column = 0;
    uint32_t* out = reinterpret_cast<uint32_t*>(strip);
    for (int line = 0; line < cut.count(); ++line) {
        Part parts[kLongLine];
        int used = 0;
        for (int done = 0; done < cut.length(line);) {
            Part& part = parts[used++];
            part.from =
                reinterpret_cast<const uint32_t*>(rows) + row * row_step_ * row_pitch_ + column;
            part.to = done;
            part.positions = std::min(cut.length(line) - done, geometry_.out_w - column);
            done += part.positions;
            column += part.positions;
            if (column == geometry_.out_w) {
                ++row;
                column = 0;
            }
        }
        // Step by step, part by part: each overwrites what the one before it wrote too much.
        for (int step = 0; step < steps_; ++step, out += line_positions_) {
            for (int p = 0; p < used; ++p) {
                const uint32_t* from = parts[p].from + sources_[step];
                for (int done = 0; done < parts[p].positions; done += kCopied)
                    std::memcpy(out + parts[p].to + done, from + done, kCopied * 4);
            }
        }
    }
}

void StripPlan::gather_lines(const uint8_t* input, int group, int64_t first, int count,
                             uint8_t* strip) const {
    const bool whole = geometry_.stride_h == 1 && geometry_.stride_w == 1 &&
                       geometry_.out_h == geometry_.in_h && geometry_.out_w == geometry_.in_w;
    const Lines cut = lines(count);
    for (int line = 0; line < cut.count(); ++line) {
        uint32_t* words =
            reinterpret_cast<uint32_t*>(strip) + int64_t(line) * steps_ * line_positions_;
        for (int done = 0; done < cut.length(line);) {
            int64_t source = first;
            int positions = cut.length(line) - done;
            if (!whole) {
                const int64_t y = first / geometry_.out_w;
                const int x = int(first % geometry_.out_w);
                positions = std::min(positions, geometry_.out_w - x);
                const int64_t image = y / geometry_.out_h;
                source = (image * geometry_.in_h + y % geometry_.out_h * geometry_.stride_h) *
                             geometry_.in_w +
                         int64_t(x) * geometry_.stride_w;
            }
            const int64_t start = source * channels_ + group * shape_.inputs;
            for (const Section& section : sections_) {
                gather(section, input + start, int64_t(geometry_.stride_w) * channels_,
                       input_bytes_ - start, positions,
                       words + section.first_slot * line_positions_ + done, line_positions_);
            }
            done += positions;
            first += positions;
        }
    }
}

}  // namespace sub8::conv
