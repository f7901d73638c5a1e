#include "executor/program.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "executor/parallel.h"
#include "kernels/catalogue.h"
#include "numeric.h"

namespace sub8::executor {
namespace {

constexpr int kIdleArenas = 4;
constexpr int kMostThreads = 1024;

std::size_t rounded_up(std::size_t bytes) {
    return static_cast<std::size_t>(round_up(static_cast<std::int64_t>(bytes), kCacheLine));
}

[[noreturn]] void reject(std::size_t number, const std::string& why) {
    throw std::invalid_argument("step " + std::to_string(number) + ": " + why);
}

int checked_threads(int threads) {
    if (threads < 1 || threads > kMostThreads) {
        throw std::invalid_argument("threads must lie in 1.." + std::to_string(kMostThreads));
    }
    return threads;
}

int checked_parts(int parts) {
    if (parts < 1) throw std::invalid_argument("a program has at least one part");
    return parts;
}

}  // namespace

Program::Program(Isa isa, int threads, int parts, std::size_t arena_bytes,
                 std::vector<std::size_t> input_bytes, std::vector<std::size_t> output_bytes,
                 std::vector<std::shared_ptr<const Step>> steps)
    : isa_(isa),
      threads_(checked_threads(threads)),
      parts_(checked_parts(parts)),
      workers_(threads),
      arena_bytes_(rounded_up(arena_bytes)),
      scratch_stride_(0),
      input_bytes_(std::move(input_bytes)),
      output_bytes_(std::move(output_bytes)),
      steps_(std::move(steps)) {
    for (std::size_t number = 0; number < steps_.size(); ++number) {
        if (steps_[number] == nullptr) reject(number, "missing");
        check(*steps_[number], number);
        scratch_stride_ =
            std::max(scratch_stride_, rounded_up(steps_[number]->scratch_bytes(team())));
    }
    arena_bytes_ = used_arena();
}

void Program::check(const Step& step, std::size_t number) const {
    for (const Buffer& buffer : step.reads()) check_range(buffer, number, false);
    const std::vector<Buffer>& writes = step.writes();
    for (std::size_t i = 0; i < writes.size(); ++i) {
        check_range(writes[i], number, true);
        for (const Buffer& other : step.reads()) {
            if (writes[i].overlaps(other)) reject(number, "writes what it reads");
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (writes[i].overlaps(writes[j])) reject(number, "its results overlap");
        }
    }
}

std::size_t Program::used_arena() const {
    std::size_t end = 0;
    for (const auto& step : steps_) {
        for (const auto* buffers : {&step->reads(), &step->writes()}) {
            for (const Buffer& buffer : *buffers) {
                if (buffer.space() == Space::arena)
                    end = std::max(end, buffer.offset() + buffer.bytes());
            }
        }
    }
    return rounded_up(end);
}

void Program::check_range(const Buffer& buffer, std::size_t number, bool written) const {
    std::size_t size = 0;
    switch (buffer.space()) {
        case Space::constant:
            if (written) reject(number, "writes a constant");
            return;
        case Space::arena:
            size = arena_bytes_;
            if (buffer.offset() % kCacheLine != 0) reject(number, "a buffer is not aligned");
            break;
        case Space::input:
            if (written) reject(number, "writes an input");
            if (buffer.index() >= input_bytes_.size()) reject(number, "reads a missing input");
            size = input_bytes_[buffer.index()];
            break;
        case Space::output:
            if (buffer.index() >= output_bytes_.size()) reject(number, "uses a missing output");
            size = output_bytes_[buffer.index()];
            break;
    }
    if (buffer.offset() > size || buffer.bytes() > size - buffer.offset()) {
        reject(number, "a buffer ends at byte " + std::to_string(buffer.offset()) + " + " +
                           std::to_string(buffer.bytes()) + " of " + std::to_string(size));
    }
}

std::unique_ptr<AlignedBytes> Program::take_memory() const {
    {
        const std::lock_guard<std::mutex> lock(process_mutex());
        if (!idle_.empty()) {
            std::unique_ptr<AlignedBytes> memory = std::move(idle_.back());
            idle_.pop_back();
            return memory;
        }
    }
    return std::make_unique<AlignedBytes>(arena_bytes_ + scratch_stride_ * team());
}

void Program::give_back(std::unique_ptr<AlignedBytes> memory) const {
    const std::lock_guard<std::mutex> lock(process_mutex());
    const int most = std::max(kIdleArenas, parts_at_once());
    if (idle_.size() < static_cast<std::size_t>(most)) idle_.push_back(std::move(memory));
}

void Program::run(const std::vector<const std::uint8_t*>& inputs,
                  const std::vector<std::uint8_t*>& outputs, std::int64_t* nanoseconds) const {
    if (!workers_.available()) {
        for (int part = 0; part < parts_; ++part) run_part(part, inputs, outputs, nanoseconds);
    } else {
        workers_.execute([&] {
            if (parts_ == 1) {
                run_part(0, inputs, outputs, nanoseconds);
            } else {
                for_each(parts_, [&](int part) { run_part(part, inputs, outputs, nanoseconds); });
            }
        });
    }
    if (nanoseconds != nullptr) {
        for (std::size_t number = 0; number < steps_.size(); ++number) {
            nanoseconds[number] /= parts_at_once();
        }
    }
}

void Program::run_part(int part, const std::vector<const std::uint8_t*>& inputs,
                       const std::vector<std::uint8_t*>& outputs, std::int64_t* nanoseconds) const {
    std::vector<const std::uint8_t*> from(inputs);
    std::vector<std::uint8_t*> to(outputs);
    const auto place = static_cast<std::size_t>(part);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] += place * input_bytes_[i];
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += place * output_bytes_[i];
    std::vector<std::int64_t> taken(nanoseconds == nullptr ? 0 : steps_.size());
    std::unique_ptr<AlignedBytes> memory = take_memory();
    run_steps(Frame{memory->data(), from.data(), to.data()}, memory->data() + arena_bytes_,
              nanoseconds == nullptr ? nullptr : taken.data());
    give_back(std::move(memory));
    if (nanoseconds == nullptr) return;
    const std::lock_guard<std::mutex> lock(process_mutex());
    for (std::size_t number = 0; number < taken.size(); ++number) {
        nanoseconds[number] += taken[number];
    }
}

void Program::run_steps(const Frame& frame, std::uint8_t* scratch,
                        std::int64_t* nanoseconds) const {
    using Clock = std::chrono::steady_clock;
    const kernels::ElementKernels& kernels = kernels::kernels_for(isa_).elements;
    std::vector<const Step*> last(static_cast<std::size_t>(team()));  // that each thread worked on
    const auto run_share = [&](const Step& step, int share, int shares, int thread) {
        const bool again = std::exchange(last[static_cast<std::size_t>(thread)], &step) == &step;
        step.run(frame,
                 Worker{share, shares, again,
                        scratch + scratch_stride_ * static_cast<std::size_t>(thread), kernels});
    };
    Clock::time_point before = Clock::now();
    for (std::size_t number = 0; number < steps_.size(); ++number) {
        const Step& step = *steps_[number];
        const int shares = team() == 1 ? 1 : step.shares(team());
        if (shares == 1 || !workers_.available()) {
            for (int share = 0; share < shares; ++share) run_share(step, share, shares, 0);
        } else {
            // Shares are stolen, not assigned: on a busy machine the caller does those whose thread
            // has not come.
            for_each(shares, [&](int share) { run_share(step, share, shares, thread_number()); });
        }
        if (nanoseconds != nullptr) {
            const Clock::time_point now = Clock::now();
            nanoseconds[number] =
                std::chrono::duration_cast<std::chrono::nanoseconds>(now - before).count();
            before = now;
        }
    }
}

}  // namespace sub8::executor
