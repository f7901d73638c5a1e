#include "executor/copy.h"

#include <cstring>
#include <utility>

#include "executor/strided.h"

namespace sub8::executor {

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
