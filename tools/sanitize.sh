#!/usr/bin/env bash
# Build the native module with sanitizers and run tests under them:
#     tools/sanitize.sh address,undefined [PYTEST-ARGUMENT...]
#     tools/sanitize.sh thread [PYTEST-ARGUMENT...]
#     tools/sanitize.sh address,undefined --run tests/fuzz/run_mutants.py s8 [ARGUMENT...]
# Default tests: those of the native core, the kernels, the engine and the short soak, but for those
# that look at or run programs without sanitizers (disassembly, emulated NEON, the browser, the
# suppressions' own test); Hypothesis's profile is `sanitized` (tests/conftest.py). Reports go to
# build/sanitize-NAME/findings.*; the exit code is not 0 where there is one or a test fails.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizers=$1
shift
[ $# -gt 0 ] || set -- tests/native tests/engine tests/soak/test_sessions.py \
    --ignore tests/native/kernels/test_disassembly.py \
    --ignore tests/native/executor/test_thread_sanitizer.py \
    --ignore tests/native/c_api/test_web.py \
    --deselect tests/native/kernels/test_agreement.py::test_neon_agrees_with_the_plain_kernels
program=(-m pytest -q --capture=sys "$@")
[ "$1" != --run ] || program=("${@:2}")
python=$(command -v "${PYTHON:-python}")
PATH="$(dirname "$python"):$PATH"
build=$PWD/build/sanitize-${sanitizers%%,*}
package=$build/python/sub8 # a copy of src/sub8, with a native module of its own

rm -rf "$package" && mkdir -p "$package"
cp -r src/sub8/. "$package"
rm -f "$package"/native/_core*.so
cmake -S . -B "$build" -G Ninja -DPython_EXECUTABLE="$python" -DSUB8_SANITIZE="$sanitizers" \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$package/native" >/dev/null
cmake --build "$build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-2}"

runtime() { "${CXX:-g++}" -print-file-name="lib$1.so"; }
findings=$build/findings
rm -f "$findings".*
export PYTHONPATH=$build/python SUB8_SANITIZE=$sanitizers PYTHONMALLOC=malloc
case $sanitizers in
thread)
    # Forks while threads run are among what is tested. A report ends no process: all are counted.
    TSAN_OPTIONS="log_path=$findings suppressions=$PWD/tools/thread_sanitizer.supp"
    export TSAN_OPTIONS+=" die_after_fork=0 exitcode=0 history_size=7"
    preload=$(runtime tsan) ;;
*)
    # Python and the libraries keep memory until the process ends; growth shows in the soak.
    export ASAN_OPTIONS="log_path=$findings detect_leaks=0 detect_stack_use_after_return=1"
    export UBSAN_OPTIONS=print_stacktrace=1
    preload="$(runtime asan) $(runtime stdc++)" ;; # the second before Python: it throws
esac
code=0
# The undefined behaviour sanitizer of gcc writes to stderr, whatever log_path says.
LD_PRELOAD=$preload "$python" "${program[@]}" 2>&1 | tee "$findings.pytest" || code=$?
shopt -s nullglob
reports=$(cat "$findings".* | grep -c "^SUMMARY: .*Sanitizer\|: runtime error: " || true)
cat "$findings".* | grep "^SUMMARY: .*Sanitizer\|: runtime error: " | sort | uniq -c || true
echo "$sanitizers: $reports reports in $findings.*; exit code: $code"
[ "$reports" = 0 ] || code=1
exit "$code"
