#include "executor/dynamic_exponent.h"

#include <algorithm>
#include <cstdlib>

#include "executor/sizes.h"
#include "numeric.h"

namespace sub8::executor {

int Exponent::of(const Frame& frame, std::int64_t image) const {
    if (!per_image) return added;
    const auto* exponents = reinterpret_cast<const std::int32_t*>(per_image->read(frame));
    // Exponents come from earlier steps; the limits only keep foreign bytes from overflowing a
    // shift.
    const int exponent = exponents[images == 1 ? 0 : image];
    return added + std::max(-kLargestExponent, std::min(kLargestExponent, exponent));
}

void Exponent::check(std::int64_t batch) const {
    require(within(added, kLargestExponent), "an exponent is out of range");
    require(!per_image || images == 1 || images == batch,
            "exponents must be one, or one per image");
}

void ResultExponent::check() const {
    require(within(fixed, kLargestExponent), "an exponent is out of range");
    require(largest.has_value() == chosen.has_value(),
            "a chosen exponent needs the largest magnitudes and a place");
}

RoundStep::RoundStep(const Buffer& out, std::int64_t count, std::int64_t batch,
                     const ResultExponent& exponent, int low, int high)
    : out_(out), batch_(batch), exponent_(exponent), low_(low), high_(high) {
    require_8_bit_limits(low, high);
    exponent.check();
    writing(out, count);
    if (exponent.largest) {
        reading(*exponent.largest, batch * 8);
        writing(*exponent.chosen, batch * 4);
    }
}

}  // namespace sub8::executor
