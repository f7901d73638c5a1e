#include "executor/fork.h"

#include <atomic>

#ifndef _WIN32
#include <pthread.h>
#endif

namespace sub8::executor {
namespace {

std::atomic<bool> used{false};
std::atomic<bool> lost{false};

#ifndef _WIN32

void before_fork() { process_mutex().lock(); }
void in_parent() { process_mutex().unlock(); }

void in_child() {
    process_mutex().unlock();
    if (used.load()) lost.store(true);
}

[[maybe_unused]] const int registered = pthread_atfork(before_fork, in_parent, in_child);

#endif

}  // namespace

std::mutex& process_mutex() {
    static std::mutex* const mutex = new std::mutex;  // outlives the threads
    return *mutex;
}

bool may_use_threads() {
    if (lost.load(std::memory_order_relaxed)) return false;
    used.store(true, std::memory_order_relaxed);
    return true;
}

bool threads_lost() { return lost.load(std::memory_order_relaxed); }

}  // namespace sub8::executor
