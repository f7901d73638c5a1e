#include "runtime/bytes.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "executor/buffer.h"

#ifdef _WIN32
#include <fstream>
#include <iterator>
#include <vector>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace sub8::runtime {
namespace {

class Copied : public Bytes {
  public:
    Copied(const void* data, std::size_t size) : held_(size) {
        if (size > 0) std::memcpy(held_.data(), data, size);
        data_ = held_.data();
        size_ = size;
    }

  private:
    executor::AlignedBytes held_;
};

#ifndef _WIN32

[[noreturn]] void fail(const std::string& path, int error) {
    throw std::invalid_argument(path + ": " + std::strerror(error));
}

class Mapped : public Bytes {
  public:
    explicit Mapped(const std::string& path) {
        const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) fail(path, errno);
        struct stat facts;
        const bool known = fstat(file, &facts) == 0;
        const int error = known && !S_ISREG(facts.st_mode) ? EINVAL : errno;
        if (!known || !S_ISREG(facts.st_mode)) {
            close(file);
            fail(path, error);
        }
        size_ = static_cast<std::size_t>(facts.st_size);
        void* memory = size_ == 0 ? nullptr : mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        const int failure = errno;
        close(file);
        if (memory == MAP_FAILED) fail(path, failure);
        data_ = static_cast<const std::uint8_t*>(memory);
    }

    ~Mapped() override {
        if (size_ > 0) munmap(const_cast<std::uint8_t*>(data_), size_);
    }

    // Whole pages only: others read those at the edges.
    void release(const void* data, std::size_t size) const override {
        static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
        const auto from = reinterpret_cast<std::uintptr_t>(data);
        const std::uintptr_t begin = (from + page - 1) / page * page;
        const std::uintptr_t end = (from + size) / page * page;
        if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
};

#endif

}  // namespace

std::unique_ptr<const Bytes> Bytes::copy(const void* data, std::size_t size) {
    return std::make_unique<Copied>(data, size);
}

std::unique_ptr<const Bytes> Bytes::of_file(const std::string& path) {
#ifdef _WIN32
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::invalid_argument(path + ": cannot be read");
    const std::vector<char> read{std::istreambuf_iterator<char>(file), {}};
    return copy(read.data(), read.size());
#else
    return std::make_unique<Mapped>(path);
#endif
}

}  // namespace sub8::runtime
