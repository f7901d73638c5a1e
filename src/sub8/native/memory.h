// Large memory, which goes back to the system when it is released (a bounded part of it a little
// later).
//
// malloc keeps what was freed between blocks that are still in use, so a process that makes and
// drops sessions, or runs ever new shapes, would grow by what lies scattered in its heap.
#pragma once

#include <cstddef>

namespace sub8 {

// Uninitialised memory, aligned to kCacheLine bytes. Throws std::bad_alloc.
void* allocate_aligned(std::size_t bytes);
// Of the same number of bytes.
void release_aligned(void* memory, std::size_t bytes);

// For containers of the standard library.
template <typename T>
struct AlignedAllocator {
    using value_type = T;
    AlignedAllocator() = default;
    template <typename U>
    AlignedAllocator(const AlignedAllocator<U>&) {}
    T* allocate(std::size_t count) { return static_cast<T*>(allocate_aligned(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t count) { release_aligned(memory, count * sizeof(T)); }
    template <typename U>
    bool operator==(const AlignedAllocator<U>&) const {
        return true;
    }
    template <typename U>
    bool operator!=(const AlignedAllocator<U>&) const {
        return false;
    }
};

}  // namespace sub8
