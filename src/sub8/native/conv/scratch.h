// How a layer shares out the working memory that its caller brings.
#pragma once

#include <cassert>
#include <cstdint>

#include "numeric.h"

namespace sub8::conv {

inline int64_t aligned(int64_t bytes) { return round_up(bytes, kCacheLine); }

// An odd number of cache lines that holds so many bytes: what lies that far apart falls into
// different sets.
inline int64_t odd_lines(int64_t bytes) { return aligned(bytes) | kCacheLine; }

// Hands out pieces one after the other; aligned as long as their sizes are.
class Scratch {
  public:
    explicit Scratch(void* memory) : next_(static_cast<uint8_t*>(memory)) {
        assert(reinterpret_cast<uintptr_t>(memory) % kCacheLine == 0);
    }

    template <typename T>
    T* take(int64_t bytes) {
        uint8_t* const taken = next_;
        next_ += bytes;
        return reinterpret_cast<T*>(taken);
    }

  private:
    uint8_t* next_;
};

}  // namespace sub8::conv
