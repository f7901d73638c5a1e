// The threads that share out the work of a step: oneTBB's, kept off the caller's CPU.
//
// A sleeping worker is often woken on the CPU of the thread that wakes it. That thread has work of
// its own and does not sleep, so that both take turns there for some milliseconds, a whole network
// long, while another CPU idles (Linux 6.18, 2 CPUs, MobileNetV2 after a pause: 4.7 ms instead of
// 2.3). So before work begins the workers are told which CPU is taken.
//
// In a process that was forked from one with such threads there are none (executor/fork.h).
#pragma once

#ifndef SUB8_ONE_THREAD
#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>
#endif

#include <memory>

#include "executor/fork.h"
#include "executor/parallel.h"

namespace sub8::executor {

#ifdef SUB8_ONE_THREAD

class Workers {
  public:
    explicit Workers(int) {}
    bool available() const { return false; }
    template <typename Work>
    void execute(const Work& work) {
        work();
    }
};

#else

class Workers {
  public:
    // At most `threads` threads, the caller included.
    explicit Workers(int threads) {
        if (threads > 1 && may_use_threads()) team_ = std::make_unique<Team>(threads);
    }

    // Where the threads are lost, so is the arena: to end it would wait for them.
    ~Workers() {
        if (threads_lost()) (void)team_.release();
    }

    // Whether parallel parts run on several threads; where not, the caller does all of them.
    bool available() const { return team_ != nullptr && !threads_lost(); }

    // Runs `work` with its parallel parts on these threads, which must be available. May be called
    // from many threads at once.
    template <typename Work>
    void execute(const Work& work) {
        keep_off_callers_cpu();
        // A worker does it where all places are taken.
        hand_over([&](const auto& handed) { team_->arena.execute(handed); }, work);
    }

  private:
    // Tells a thread that has come to work which CPU is taken.
    class Entry : public tbb::task_scheduler_observer {
      public:
        explicit Entry(tbb::task_arena& arena) : tbb::task_scheduler_observer(arena) {
            observe(true);
        }
        ~Entry() override { observe(false); }
        void on_scheduler_entry(bool is_worker) override;
    };

    // Does nothing where the caller's CPU is the one that workers keep off already, or where the
    // system is not Linux.
    static void keep_off_callers_cpu();

    struct Team {
        explicit Team(int threads) : arena(threads), entry(arena) {}
        tbb::task_arena arena;
        Entry entry;
    };

    std::unique_ptr<Team> team_;
};

#endif

}  // namespace sub8::executor
