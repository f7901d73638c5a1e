// The bytes of a model: a file mapped into memory, or a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace sub8::runtime {

class Bytes {
  public:
    virtual ~Bytes() = default;

    // Throws std::invalid_argument where the file cannot be read.
    static std::unique_ptr<const Bytes> of_file(const std::string& path);
    static std::unique_ptr<const Bytes> copy(const void* data, std::size_t size);

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }
    // What was read there need not stay in memory.
    virtual void release(const void* data, std::size_t size) const { (void)data, (void)size; }

  protected:
    const std::uint8_t* data_ = nullptr;  // aligned to 64 bytes
    std::size_t size_ = 0;
};

}  // namespace sub8::runtime
