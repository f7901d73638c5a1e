// One operation of a program, with every size resolved when it was built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "executor/buffer.h"
#include "kernels/elementwise.h"

namespace sub8 {

// One thread of the team that runs a program.
struct Worker {
    int thread;
    int threads;
    std::uint8_t* scratch;  // 64-byte aligned, this thread's own
    const ElementKernels& kernels;
};

// Immutable; constructors throw std::invalid_argument where sizes do not fit the buffers, run never
// fails.
class Step {
  public:
    virtual ~Step() = default;

    // Does this worker's share. The shares of a team are complete together, with no order among
    // them.
    virtual void run(const Frame& frame, const Worker& worker) const = 0;
    // Scratch that each of `threads` workers needs.
    virtual std::size_t scratch_bytes(int threads) const {
        (void)threads;
        return 0;
    }

    const std::vector<Buffer>& reads() const { return reads_; }
    const std::vector<Buffer>& writes() const { return writes_; }

  protected:
    // Declares an access; throws where the buffer is smaller than the bytes needed.
    void reading(const Buffer& buffer, std::int64_t bytes) { declare(reads_, buffer, bytes); }
    void writing(const Buffer& buffer, std::int64_t bytes) { declare(writes_, buffer, bytes); }

  private:
    static void declare(std::vector<Buffer>& list, const Buffer& buffer, std::int64_t bytes) {
        if (bytes < 0 || static_cast<std::uint64_t>(bytes) > buffer.bytes()) {
            throw std::invalid_argument("a step needs " + std::to_string(bytes) +
                                        " bytes of a buffer of " + std::to_string(buffer.bytes()));
        }
        list.push_back(buffer);
    }

    std::vector<Buffer> reads_;
    std::vector<Buffer> writes_;
};

struct Range {
    std::int64_t begin;
    std::int64_t end;
};

// This worker's contiguous share of 0..count-1.
inline Range share(std::int64_t count, const Worker& worker) {
    const std::int64_t size = count / worker.threads;
    const std::int64_t rest = count % worker.threads;
    const std::int64_t begin = size * worker.thread + (worker.thread < rest ? worker.thread : rest);
    return {begin, begin + size + (worker.thread < rest ? 1 : 0)};
}

}  // namespace sub8
