#include "executor/workers.h"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>
#endif

#ifndef SUB8_ONE_THREAD

namespace sub8::executor {

#ifdef __linux__

namespace {

// All workers of the process: oneTBB's threads serve every arena, and sleep between them.
class Roster {
  public:
    // The calling thread.
    void add() {
        const std::lock_guard<std::mutex> lock(process_mutex());
        forget_parents_threads();
        ids_.push_back(own_id());
        sched_setaffinity(0, sizeof cpus_, &cpus_);
    }

    void remove() {
        const std::lock_guard<std::mutex> lock(process_mutex());
        ids_.erase(std::remove(ids_.begin(), ids_.end(), own_id()), ids_.end());
    }

    void keep_off(int cpu) {
        if (cpu < 0 || cpu >= CPU_SETSIZE || cpu == taken_.load(std::memory_order_relaxed)) return;
        cpu_set_t cpus;
        if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return;
        if (CPU_COUNT(&cpus) > 1) CPU_CLR(cpu, &cpus);
        const std::lock_guard<std::mutex> lock(process_mutex());
        forget_parents_threads();
        cpus_ = cpus;
        for (pid_t id : ids_) sched_setaffinity(id, sizeof cpus, &cpus);
        taken_.store(cpu, std::memory_order_relaxed);
    }

  private:
    static pid_t own_id() { return pid_t(syscall(SYS_gettid)); }

    // A forked process has none of the threads that its parent had.
    void forget_parents_threads() {
        if (process_ != getpid()) ids_.clear();
        process_ = getpid();
    }

    std::vector<pid_t> ids_;
    cpu_set_t cpus_{};  // of the workers
    pid_t process_ = getpid();
    std::atomic<int> taken_{-1};
};

Roster& roster() {
    static Roster* const roster = new Roster;  // outlives the threads
    return *roster;
}

struct Membership {
    Membership() { roster().add(); }
    ~Membership() { roster().remove(); }
};

}  // namespace

void Workers::Entry::on_scheduler_entry(bool is_worker) {
    if (!is_worker) return;
    thread_local const Membership membership;
    (void)membership;
}

void Workers::keep_off_callers_cpu() { roster().keep_off(sched_getcpu()); }

#else

void Workers::Entry::on_scheduler_entry(bool) {}
void Workers::keep_off_callers_cpu() {}

#endif

}  // namespace sub8::executor

#endif
