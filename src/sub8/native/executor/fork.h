// What a forked process must find in order: it has one thread, and all memory as it was.
#pragma once

#include <mutex>

namespace sub8::executor {

// Guards what all threads of the process share, for moments only. It is taken around every fork, so
// that no child finds it held by a thread that it does not have.
std::mutex& process_mutex();

// Whether oneTBB may be used, and from then on counts it as used. A process that was forked from
// one that used it has none of its threads, and perhaps locks that they hold for ever: it works
// alone.
bool may_use_threads();

// The same question without counting.
bool threads_lost();

}  // namespace sub8::executor
