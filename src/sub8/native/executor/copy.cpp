#include "executor/copy.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "executor/strided.h"

namespace sub8::executor {
namespace {

constexpr std::int64_t kFewest = 8;  // elements along the target for which turning pays

}  // namespace

Copy::Copy(const Buffer& source, const View& source_view, const Buffer& target,
           const View& target_view, std::vector<std::int64_t> sizes, int element_bytes)
    : source_(source),
      target_(target),
      from_(source_view),
      to_(target_view),
      sizes_(std::move(sizes)),
      element_bytes_(element_bytes) {
    require(element_bytes == 1 || element_bytes == 4 || element_bytes == 8,
            "elements have 1, 4 or 8 bytes");
    checked_product(sizes_);
    if (sizes_.empty()) {
        sizes_.push_back(1);
        from_.strides.push_back(1);
        to_.strides.push_back(1);
    }
    reading(source, view_extent(sizes_, from_.offset, from_.strides) * element_bytes);
    writing(target, view_extent(sizes_, to_.offset, to_.strides) * element_bytes);
    merge_axes(sizes_, {&from_.strides, &to_.strides});
    turns_ = bring_turned_axis_last_but_one();
}

// The axis along which the target is contiguous, where the last one is not: then they are turned.
bool Copy::bring_turned_axis_last_but_one() {
    if (to_.strides.back() == 1 || from_.strides.back() != 1) return false;
    const auto found = std::find(to_.strides.begin(), to_.strides.end(), 1);
    if (found == to_.strides.end()) return false;
    const auto axis = found - to_.strides.begin();
    if (sizes_[std::size_t(axis)] < kFewest) return false;
    const auto bring = [axis](std::vector<std::int64_t>& values) {
        std::rotate(values.begin() + axis, values.begin() + axis + 1, values.end() - 1);
    };
    bring(sizes_);
    bring(from_.strides);
    bring(to_.strides);
    return true;
}

// Whole cache lines of the target one after the other, from a few of the source.
template <typename Element>
void Copy::turn(const Element* source, Element* target, const Worker& worker) const {
    constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(Element));
    const std::size_t axes = sizes_.size();
    const std::int64_t along = sizes_[axes - 2], across = sizes_[axes - 1];
    const std::int64_t from_stride = from_.strides[axes - 2], to_stride = to_.strides[axes - 1];
    const std::vector<std::int64_t> outer(sizes_.begin(), sizes_.end() - 1);
    const Strides* const views[] = {&from_.strides, &to_.strides};
    const std::int64_t lines = (along + kLine - 1) / kLine;
    const Range part = share(row_count(outer) * lines, worker);
    for (std::int64_t number = part.begin; number < part.end; ++number) {
        std::int64_t offsets[2];
        row_offsets(outer, views, number / lines, offsets);
        const std::int64_t first = number % lines * kLine;
        const std::int64_t count = std::min(kLine, along - first);
        const Element* from = source + offsets[0] + first * from_stride;
        Element* to = target + offsets[1] + first;
        for (std::int64_t column = 0; column < across; ++column, ++from, to += to_stride) {
            for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * from_stride];
        }
    }
}

void Copy::run(const Frame& frame, const Worker& worker) const {
    switch (element_bytes_) {
        case 1:
            return run_as<std::uint8_t>(frame, worker);
        case 4:
            return run_as<std::uint32_t>(frame, worker);
        default:
            return run_as<std::uint64_t>(frame, worker);
    }
}

template <typename Element>
void Copy::run_as(const Frame& frame, const Worker& worker) const {
    const Element* source = reinterpret_cast<const Element*>(source_.read(frame)) + from_.offset;
    Element* target = reinterpret_cast<Element*>(target_.write(frame)) + to_.offset;
    if (turns_) return turn(source, target, worker);
    const std::int64_t count = sizes_.back();
    const std::int64_t from_stride = from_.strides.back(), to_stride = to_.strides.back();
    const Strides* const views[] = {&from_.strides, &to_.strides};
    if (sizes_.size() == 1 && from_stride == 1 && to_stride == 1) {
        const Range part = share(count, worker);
        if (part.end > part.begin) {
            std::memcpy(target + part.begin, source + part.begin,
                        static_cast<std::size_t>(part.end - part.begin) * sizeof(Element));
        }
        return;
    }
    const Range rows = share(row_count(sizes_), worker);
    RowCursor<2> cursor(sizes_, views, rows.begin);
    for (std::int64_t row = rows.begin; row < rows.end; ++row, cursor.advance()) {
        const Element* from = source + cursor.offset(0);
        Element* to = target + cursor.offset(1);
        if (from_stride == 1 && to_stride == 1) {
            std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(Element));
        } else {
            for (std::int64_t i = 0; i < count; ++i) to[i * to_stride] = from[i * from_stride];
        }
    }
}

Fill::Fill(const Buffer& target, int value) : target_(target), value_(value) {
    require(value >= -128 && value <= 255, "a byte lies in -128..255");
    writing(target, static_cast<std::int64_t>(target.bytes()));
}

void Fill::run(const Frame& frame, const Worker& worker) const {
    const Range part = share(static_cast<std::int64_t>(target_.bytes()), worker);
    std::memset(target_.write(frame) + part.begin, value_ & 0xff,
                static_cast<std::size_t>(part.end - part.begin));
}

}  // namespace sub8::executor
