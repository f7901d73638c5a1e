// Threads that work on one program together, and the barrier where they meet.
//
// Why not OpenMP: its barriers spin for milliseconds, which on a busy machine keeps the very thread
// that is awaited off the processor; here a thread spins for some microseconds and then sleeps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace sub8 {

class Team {
  public:
    // Starts size - 1 threads, which sleep until there is work. Throws std::system_error where it
    // cannot.
    explicit Team(int size);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return size_; }
    // Calls work(member) on every thread, the caller being member 0, and returns when all are done.
    // work must not throw. One run at a time.
    void run(const std::function<void(int)>& work);
    // Returns when every member has called it; what they wrote before is then visible to all.
    void meet();

  private:
    void serve(int member);
    void stop();

    const int size_;
    const std::function<void(int)>* work_ = nullptr;  // null: stop
    std::atomic<int> arrived_{0};
    std::atomic<std::uint32_t> meetings_{0};
    std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable woken_;
    std::vector<std::thread> threads_;
};

// An idle team of the process, or a new one; give it back when done. Safe from many threads and
// after a fork.
std::unique_ptr<Team> take_team(int size);
void give_back(std::unique_ptr<Team> team);

}  // namespace sub8
