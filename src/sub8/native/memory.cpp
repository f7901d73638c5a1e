#include "memory.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <new>

#include "numeric.h"

// The address sanitizer sees the ends of blocks of malloc's only.
#if (defined(__linux__) || defined(__APPLE__)) && !defined(__SANITIZE_ADDRESS__)
#include <sys/mman.h>
#define SUB8_MAPS_MEMORY 1
#endif

namespace sub8 {
namespace {

#ifdef SUB8_MAPS_MEMORY

// Smaller blocks are malloc's: a mapping takes whole pages and a call into the system.
constexpr std::size_t kMapped = std::size_t{1} << 17;

// Of the mappings released last so many bytes wait for their next use, because the first touch of a
// new one's pages costs much where every run has another shape.
constexpr std::size_t kWaiting = std::size_t{1} << 25;

// Two sizes an octave, so that a waiting mapping mostly has the size that is wanted. What is never
// touched of it takes no memory.
std::size_t mapped_size(std::size_t bytes) {
    std::size_t size = kMapped;
    while (size < bytes) size = (size & (size - 1)) == 0 ? size / 2 * 3 : size / 3 * 4;
    return size;
}

// A new mapping's pages at once, which takes a third of the time of as many first touches. More
// than may wait is left to those: perhaps it is never used.
void touch([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
    constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14; older ones refuse it
    if (bytes <= kWaiting) madvise(memory, bytes, kPopulateWrite);
#endif
}

class Waiting {
  public:
    // Null where there is none.
    void* take(std::size_t size) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock) return nullptr;
        const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                        [size](const Block& block) { return block.size == size; });
        if (found == blocks_.rend()) return nullptr;
        void* const memory = found->memory;
        blocks_.erase(std::next(found).base());
        total_ -= size;
        return memory;
    }

    void put(void* memory, std::size_t size) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock || size > kWaiting) {
            munmap(memory, size);
            return;
        }
        blocks_.push_back({memory, size});
        total_ += size;
        while (total_ > kWaiting) {
            munmap(blocks_.front().memory, blocks_.front().size);
            total_ -= blocks_.front().size;
            blocks_.pop_front();
        }
    }

  private:
    struct Block {
        void* memory;
        std::size_t size;
    };
    // Never waited for: a process forked while another thread held it could wait for ever.
    std::mutex mutex_;
    std::deque<Block> blocks_;
    std::size_t total_ = 0;
};

// Never destroyed, since threads may outlive the end of the process's statics.
Waiting& waiting() {
    static Waiting* const instance = new Waiting;
    return *instance;
}

#endif

}  // namespace

void* allocate_aligned(std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    // There operator new ends the process where memory lacks.
    if (bytes > std::size_t{1} << 33) throw std::bad_alloc();
#endif
#ifdef SUB8_MAPS_MEMORY
    if (bytes >= kMapped) {
        const std::size_t size = mapped_size(bytes);
        if (void* const memory = waiting().take(size)) return memory;
        void* const memory =
            mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        touch(memory, bytes);
        return memory;
    }
#endif
    return ::operator new(std::max<std::size_t>(bytes, kCacheLine), std::align_val_t(kCacheLine));
}

void release_aligned(void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef SUB8_MAPS_MEMORY
    if (bytes >= kMapped) {
        waiting().put(memory, mapped_size(bytes));
        return;
    }
#endif
    ::operator delete(memory, std::align_val_t(kCacheLine));
}

}  // namespace sub8
