#include "executor/team.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define SUB8_FORKS 1
#endif

#include <algorithm>
#include <cstddef>
#include <system_error>

namespace sub8 {
namespace {

// Tens of microseconds: longer than the usual wait for the others, shorter than going to sleep and
// waking.
constexpr int kSpins = 1000;
constexpr std::size_t kIdleTeams = 8;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Never destroyed: its threads sleep until the process ends.
struct IdleTeams {
    std::mutex mutex;
    std::vector<std::unique_ptr<Team>> teams;
};

IdleTeams& idle_teams() {
    static IdleTeams& idle = []() -> IdleTeams& {
        auto* made = new IdleTeams;
#ifdef SUB8_FORKS
        // A child process has none of the threads, so it must forget the teams without joining
        // them.
        pthread_atfork([] { idle_teams().mutex.lock(); }, [] { idle_teams().mutex.unlock(); },
                       [] {
                           for (auto& team : idle_teams().teams) (void)team.release();
                           idle_teams().teams.clear();
                           idle_teams().mutex.unlock();
                       });
#endif
        return *made;
    }();
    return idle;
}

}  // namespace

Team::Team(int size) : size_(size) {
    threads_.reserve(static_cast<std::size_t>(size - 1));
    try {
        for (int member = 1; member < size; ++member) {
            threads_.emplace_back([this, member] { serve(member); });
        }
    } catch (const std::system_error&) {
        // The missing members' places at the meeting are taken here, so that the others can leave.
        arrived_.fetch_add(size - 1 - static_cast<int>(threads_.size()));
        stop();
        throw;
    }
}

Team::~Team() { stop(); }

void Team::stop() {
    work_ = nullptr;
    meet();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

void Team::run(const std::function<void(int)>& work) {
    work_ = &work;
    meet();
    work(0);
    meet();
}

void Team::serve(int member) {
    for (;;) {
        meet();
        if (work_ == nullptr) return;
        (*work_)(member);
        meet();
    }
}

void Team::meet() {
    const std::uint32_t meeting = meetings_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        meetings_.store(meeting + 1);
        // In the total order of these operations either a sleeper is seen here, or it sees the new
        // count.
        if (sleepers_.load() > 0) {
            const std::lock_guard<std::mutex> lock(mutex_);
            woken_.notify_all();
        }
        return;
    }
    for (int spin = 0; spin < kSpins; ++spin) {
        if (meetings_.load(std::memory_order_acquire) != meeting) return;
        pause_briefly();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    woken_.wait(lock, [&] { return meetings_.load() != meeting; });
    sleepers_.fetch_sub(1);
}

std::unique_ptr<Team> take_team(int size) {
    IdleTeams& idle = idle_teams();
    {
        const std::lock_guard<std::mutex> lock(idle.mutex);
        const auto found = std::find_if(idle.teams.begin(), idle.teams.end(),
                                        [&](const auto& team) { return team->size() == size; });
        if (found != idle.teams.end()) {
            std::unique_ptr<Team> team = std::move(*found);
            idle.teams.erase(found);
            return team;
        }
    }
    return std::make_unique<Team>(size);
}

void give_back(std::unique_ptr<Team> team) {
    IdleTeams& idle = idle_teams();
    std::unique_ptr<Team> surplus;  // stopped after the lock is released
    const std::lock_guard<std::mutex> lock(idle.mutex);
    idle.teams.push_back(std::move(team));
    if (idle.teams.size() > kIdleTeams) {
        surplus = std::move(idle.teams.front());
        idle.teams.erase(idle.teams.begin());
    }
}

}  // namespace sub8
