"""What tools/thread_sanitizer.supp hides is no race of the code that oneTBB's threads run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from instruction_sets import NATIVE

SUPPRESSIONS = Path(__file__).parents[3] / "tools" / "thread_sanitizer.supp"

# Every piece adds to its own element, then all are summed; with an argument pieces share one.
PROGRAM = """
#include <tbb/blocked_range.h>
#include <tbb/task_arena.h>
#include <cstdio>
#include <vector>
#include "executor/parallel.h"

int main(int arguments, char**) {
    const bool race = arguments > 1;
    tbb::task_arena arena(2);
    std::vector<long> sums(64);
    long total = 0;
    for (int round = 0; round < 200; ++round) {
        sub8::executor::hand_over([&](const auto& work) { arena.execute(work); }, [&] {
            sub8::executor::parallel_for(
                tbb::blocked_range<int>(0, 64, 1),
                [&](const tbb::blocked_range<int>& range) {
                    for (int i = range.begin(); i < range.end(); ++i) {
                        for (int j = 0; j < 500; ++j) sums[race ? 0 : i] += j;
                    }
                },
                tbb::simple_partitioner{});
        });
        for (long sum : sums) total += sum;
    }
    std::printf("%ld\\n", total);
}
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    source, binary = folder / "loop.cpp", folder / "loop"
    source.write_text(PROGRAM)
    options = ["-std=c++17", "-O1", "-g", "-fsanitize=thread", f"-I{NATIVE}"]
    command = ["g++", *options, str(source), "-ltbb", "-o", str(binary)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0 and "tsan" in built.stderr:
        pytest.skip("needs g++'s thread sanitizer")
    assert built.returncode == 0, built.stderr
    return binary


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("race", [False, True])
def test_a_race_between_pieces_is_reported_and_nothing_else(binary: Path, race: bool) -> None:
    environment = {**os.environ, "TSAN_OPTIONS": f"suppressions={SUPPRESSIONS} history_size=7"}
    environment.pop("LD_PRELOAD", None)
    command = [str(binary), *(["race"] if race else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if race:
        assert "WARNING: ThreadSanitizer: data race" in done.stderr and done.returncode == 66
    else:
        assert (done.returncode, done.stderr) == (0, "")
