#include "executor/buffer.h"

#include <cstring>

#include "memory.h"

namespace sub8::executor {

AlignedBytes::AlignedBytes(std::size_t size)
    : data_(static_cast<std::uint8_t*>(allocate_aligned(size))), size_(size) {}

AlignedBytes::~AlignedBytes() { release_aligned(data_, size_); }

Buffer::Buffer(Space space, std::size_t index, std::size_t offset, std::size_t bytes)
    : space_(space), index_(index), offset_(offset), bytes_(bytes) {}

Buffer Buffer::in_arena(std::size_t offset, std::size_t bytes) {
    return Buffer(Space::arena, 0, offset, bytes);
}

Buffer Buffer::input(std::size_t index, std::size_t bytes) {
    return Buffer(Space::input, index, 0, bytes);
}

Buffer Buffer::output(std::size_t index, std::size_t bytes) {
    return Buffer(Space::output, index, 0, bytes);
}

Buffer Buffer::constant(const void* data, std::size_t bytes) {
    auto copy = std::make_shared<AlignedBytes>(bytes);
    if (bytes > 0) std::memcpy(copy->data(), data, bytes);
    Buffer buffer(Space::constant, 0, 0, bytes);
    buffer.data_ = std::move(copy);
    return buffer;
}

bool Buffer::overlaps(const Buffer& other) const {
    if (space_ != other.space_ || index_ != other.index_) return false;
    if (space_ == Space::constant) return data_ == other.data_;
    return offset_ < other.offset_ + other.bytes_ && other.offset_ < offset_ + bytes_;
}

const std::uint8_t* Buffer::read(const Frame& frame) const {
    switch (space_) {
        case Space::arena:
            return frame.arena + offset_;
        case Space::input:
            return frame.inputs[index_];
        case Space::output:
            return frame.outputs[index_];
        default:
            return data_->data();
    }
}

std::uint8_t* Buffer::write(const Frame& frame) const {
    return space_ == Space::output ? frame.outputs[index_] : frame.arena + offset_;
}

}  // namespace sub8::executor
