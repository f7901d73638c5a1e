// A plan for one input shape: steps in order, one arena, a fixed number of threads.
//
// Where the images of a batch do not depend on each other, the steps may be those of an equal part
// of the batch: the threads then take parts, each with an arena of its own, instead of shares of
// steps, and wait for each other once instead of after every step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "executor/step.h"
#include "executor/workers.h"
#include "isa.h"

namespace sub8::executor {

class Program {
  public:
    // Throws std::invalid_argument where a step's buffer lies outside of the arena or of its array,
    // where a step writes an input or a constant, or where it writes what it also reads or writes
    // elsewhere. arena_bytes: where the arena ends; memory is taken as far as steps use it. parts:
    // how often the steps run, each time on the next input_bytes and output_bytes
    // of every array.
    Program(Isa isa, int threads, int parts, std::size_t arena_bytes,
            std::vector<std::size_t> input_bytes, std::vector<std::size_t> output_bytes,
            std::vector<std::shared_ptr<const Step>> steps);

    // Runs all parts. The arrays must hold parts times input_bytes and output_bytes. May be called
    // from many threads at once. nanoseconds: per step, zeros before (of all parts, divided by the
    // threads that share them), or null.
    void run(const std::vector<const std::uint8_t*>& inputs,
             const std::vector<std::uint8_t*>& outputs, std::int64_t* nanoseconds) const;

    std::size_t arena_bytes() const { return arena_bytes_; }
    const std::vector<std::size_t>& input_bytes() const { return input_bytes_; }
    const std::vector<std::size_t>& output_bytes() const { return output_bytes_; }
    std::size_t step_count() const { return steps_.size(); }
    int threads() const { return threads_; }
    int parts() const { return parts_; }
    Isa isa() const { return isa_; }

  private:
    void check(const Step& step, std::size_t number) const;
    std::size_t used_arena() const;
    void check_range(const Buffer& buffer, std::size_t number, bool written) const;
    std::unique_ptr<AlignedBytes> take_memory() const;
    void give_back(std::unique_ptr<AlignedBytes> memory) const;
    void run_part(int part, const std::vector<const std::uint8_t*>& inputs,
                  const std::vector<std::uint8_t*>& outputs, std::int64_t* nanoseconds) const;
    void run_steps(const Frame& frame, std::uint8_t* scratch, std::int64_t* nanoseconds) const;
    int team() const { return parts_ == 1 ? threads_ : 1; }  // threads that share a part
    int parts_at_once() const { return std::min(threads_, parts_); }

    Isa isa_;
    int threads_;
    int parts_;
    mutable Workers workers_;
    std::size_t arena_bytes_;
    std::size_t scratch_stride_;
    std::vector<std::size_t> input_bytes_;
    std::vector<std::size_t> output_bytes_;
    std::vector<std::shared_ptr<const Step>> steps_;
    mutable std::vector<std::unique_ptr<AlignedBytes>> idle_;  // under process_mutex()
};

}  // namespace sub8::executor
