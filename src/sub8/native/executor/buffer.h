// Where a step finds its data: a range of bytes in the arena, in an input or output array, or a
// constant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace sub8::executor {

// Memory aligned to kCacheLine bytes, uninitialised.
class AlignedBytes {
  public:
    explicit AlignedBytes(std::size_t size);
    ~AlignedBytes();
    AlignedBytes(const AlignedBytes&) = delete;
    AlignedBytes& operator=(const AlignedBytes&) = delete;
    std::uint8_t* data() const { return data_; }

  private:
    std::uint8_t* data_;
    std::size_t size_;
};

// The memory of one run.
struct Frame {
    std::uint8_t* arena;
    const std::uint8_t* const* inputs;
    std::uint8_t* const* outputs;
};

enum class Space { arena, input, output, constant };

class Buffer {
  public:
    // Bytes [offset, offset + bytes) of the arena.
    static Buffer in_arena(std::size_t offset, std::size_t bytes);
    // All bytes of the input (output) array number `index`.
    static Buffer input(std::size_t index, std::size_t bytes);
    static Buffer output(std::size_t index, std::size_t bytes);
    // A copy of data.
    static Buffer constant(const void* data, std::size_t bytes);

    Space space() const { return space_; }
    std::size_t index() const { return index_; }
    std::size_t offset() const { return offset_; }
    std::size_t bytes() const { return bytes_; }
    bool overlaps(const Buffer& other) const;

    const std::uint8_t* read(const Frame& frame) const;
    // Only for buffers that Program accepted as written: in the arena or in an output.
    std::uint8_t* write(const Frame& frame) const;

  private:
    Buffer(Space space, std::size_t index, std::size_t offset, std::size_t bytes);

    Space space_;
    std::size_t index_;
    std::size_t offset_;
    std::size_t bytes_;
    std::shared_ptr<const AlignedBytes> data_;
};

}  // namespace sub8::executor
