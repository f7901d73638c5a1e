// One operation of a program, with every size resolved when it was built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "executor/buffer.h"
#include "kernels/elements.h"

namespace sub8::executor {

// A thread of the team that runs a program, and the share of a step that it does.
struct Worker {
    int share;
    int shares;
    bool again;             // its scratch is as another share of this step left it in this run
    std::uint8_t* scratch;  // 64-byte aligned, this thread's own
    const kernels::ElementKernels& kernels;
};

// Immutable; constructors throw std::invalid_argument where sizes do not fit the buffers, run never
// fails.
class Step {
  public:
    virtual ~Step() = default;

    // Does this worker's share. All shares are complete together, with no order among them.
    virtual void run(const Frame& frame, const Worker& worker) const = 0;
    // Into how many shares a team of `threads` best cuts the step.
    virtual int shares(int threads) const { return threads; }
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
    const std::int64_t size = count / worker.shares;
    const std::int64_t rest = count % worker.shares;
    const std::int64_t begin = size * worker.share + (worker.share < rest ? worker.share : rest);
    return {begin, begin + size + (worker.share < rest ? 1 : 0)};
}

}  // namespace sub8::executor
