// Loops on oneTBB's threads (on the caller's alone where SUB8_ONE_THREAD is defined), and what the
// thread sanitizer has to be told of them.
//
// oneTBB's library is built without that sanitizer, which therefore does not see that a loop's body
// runs after what led to the loop and before what follows it. A Handover says so, and no more: two
// pieces of a loop that race with each other are still found.
#pragma once

#ifndef SUB8_ONE_THREAD
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#endif

#include <utility>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace sub8::executor {

// All that was done before give() is done before whatever follows take(), on any thread.
class Handover {
  public:
#ifdef __SANITIZE_THREAD__
    void give() const { __tsan_release(const_cast<Handover*>(this)); }
    void take() const { __tsan_acquire(const_cast<Handover*>(this)); }
#else
    void give() const {}
    void take() const {}
#endif
};

#ifdef SUB8_ONE_THREAD

// Calls work(0) .. work(count - 1) in any order, each on the thread that is free first.
template <typename Work>
void for_each(int count, const Work& work) {
    for (int i = 0; i < count; ++i) work(i);
}

// Of the thread that works, among those that share the work.
inline int thread_number() { return 0; }

#else

// Hands `work` to `run`, which calls what it gets, once, on whichever thread.
template <typename Run, typename Work>
void hand_over(const Run& run, const Work& work) {
    const Handover start, end;
    start.give();
    run([&] {
        start.take();
        work();
        end.give();
    });
    end.take();
}

// tbb::parallel_for.
template <typename Range, typename Body, typename Partitioner = tbb::auto_partitioner>
void parallel_for(const Range& range, const Body& body, Partitioner&& partitioner = {}) {
    const Handover start, end;
    start.give();
    tbb::parallel_for(
        range,
        [&](const Range& piece) {
            start.take();
            body(piece);
            end.give();
        },
        std::forward<Partitioner>(partitioner));
    end.take();
}

template <typename Work>
void for_each(int count, const Work& work) {
    parallel_for(
        tbb::blocked_range<int>(0, count, 1),
        [&](const tbb::blocked_range<int>& range) {
            for (int i = range.begin(); i < range.end(); ++i) work(i);
        },
        tbb::simple_partitioner{});
}

inline int thread_number() { return tbb::this_task_arena::current_thread_index(); }

#endif

}  // namespace sub8::executor
