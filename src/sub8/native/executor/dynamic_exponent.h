// Exponents of a tensor, one or one per image, and the one chosen from an image's largest magnitude
// (sub8.numerics.dynamic.choose_exponent).
//
// An operator with a dynamic result is two steps, one that finds each image's largest magnitude
// (into `largest`, 8 bytes per image, zeroed before) and one that rounds to the exponent it
// implies.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include "executor/buffer.h"
#include "executor/step.h"

namespace sub8::executor {

// A tensor's exponent: `added`, plus one int32 per image (or one for all images) where `per_image`
// is set.
struct Exponent {
    int added = 0;
    std::optional<Buffer> per_image;
    std::int64_t images = 1;

    int of(const Frame& frame, std::int64_t image) const;
    // Throws where they are not one, or one per image of `batch`, or where `added` is absurd.
    void check(std::int64_t batch) const;
};

// Where the result's exponent comes from: fixed, or chosen per image from `largest` and written to
// `chosen`.
struct ResultExponent {
    int fixed = 0;
    bool is_signed = false;
    std::optional<Buffer> largest;  // uint64 per image
    std::optional<Buffer> chosen;   // int32 per image

    // Throws where only one of the buffers is given, or `fixed` is absurd.
    void check() const;
};

// The step that finds them.
class LargestStep : public Step {
  protected:
    LargestStep(const Buffer& largest, std::int64_t batch) : largest_(largest) {
        writing(largest, batch * 8);
    }
    std::uint64_t* slots(const Frame& frame) const {
        return reinterpret_cast<std::uint64_t*>(largest_.write(frame));
    }

  private:
    Buffer largest_;
};

// The step that rounds to it, 8 bits an element.
class RoundStep : public Step {
  protected:
    RoundStep(const Buffer& out, std::int64_t count, std::int64_t batch,
              const ResultExponent& exponent, int low, int high);

    // The exponent of an image's result: the fixed one, or what choose(largest) says.
    template <typename Choose>
    int exponent_of(const Frame& frame, std::int64_t image, const Choose& choose) const {
        if (!exponent_.largest) return exponent_.fixed;
        return choose(
            reinterpret_cast<const std::uint64_t*>(exponent_.largest->read(frame))[image]);
    }
    // Where exponents are chosen, worker 0 writes exponent(image) of all images.
    template <typename Exponents>
    void write_exponents(const Frame& frame, const Worker& worker,
                         const Exponents& exponent) const {
        if (worker.share != 0 || !exponent_.chosen) return;
        auto* exponents = reinterpret_cast<std::int32_t*>(exponent_.chosen->write(frame));
        for (std::int64_t image = 0; image < batch_; ++image) exponents[image] = exponent(image);
    }

    Buffer out_;
    std::int64_t batch_;
    ResultExponent exponent_;
    int low_, high_;
};

constexpr int kLowestExponent = -32;
constexpr int kHighestExponent = 15;
constexpr int kLargestExponent = 1 << 16;  // of any tensor, in magnitude

inline int choose_exponent(std::int64_t floor_log2, bool is_signed) {
    const std::int64_t exponent = floor_log2 - (is_signed ? 6 : 7);
    if (exponent < kLowestExponent) return kLowestExponent;
    return static_cast<int>(exponent > kHighestExponent ? kHighestExponent : exponent);
}

// floor(log2) of a positive double.
inline int floor_log2(double value) {
    int exponent = 0;
    __builtin_frexp(value, &exponent);
    return exponent - 1;
}

// Non-negative doubles in the order of their bits, so that integers can be compared instead.
inline std::uint64_t bits_of(double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline double from_bits(std::uint64_t bits) {
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// The larger of *slot and value into *slot, from several threads at once.
inline void raise_to(std::uint64_t* slot, std::uint64_t value) {
    std::uint64_t seen = __atomic_load_n(slot, __ATOMIC_RELAXED);
    while (seen < value && !__atomic_compare_exchange_n(slot, &seen, value, true, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
}

}  // namespace sub8::executor
