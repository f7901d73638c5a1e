// Work without the interpreter's lock, also while the interpreter ends.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <exception>
#include <thread>

namespace sub8::bindings {

// Runs `work` without the interpreter's lock; what it throws is thrown when the lock is held again.
//
// A daemon thread that asks for the lock while the interpreter ends does not get it: before 3.14
// CPython ends the thread, by unwinding its stack where the system's pthread_exit does. nanobind's
// frames do not let that through (std::terminate), nor may the thread go on, so it sleeps here
// until the process is gone, as CPython itself lets it since 3.14.
template <typename Work>
void without_interpreter(const Work& work) {
    std::exception_ptr error;
    PyThreadState* const state = PyEval_SaveThread();
    try {
        work();
    } catch (...) {
        error = std::current_exception();
    }
    try {
        PyEval_RestoreThread(state);
    } catch (...) {  // only that unwinding; to leave this block would end the process
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace sub8::bindings
