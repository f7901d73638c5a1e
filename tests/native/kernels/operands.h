// Random operands of one kernel of the catalogue and what it must make of them, for the agreement
// test and the benchmark. Layouts: conv/packing.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "weights/format.h"

namespace sub8::kernels {

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

// Zeroed memory of so many elements and a margin, aligned as kernels want it.
template <typename T>
std::unique_ptr<T[], Free> aligned_array(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + 127) / 64 * 64;
    std::unique_ptr<T[], Free> memory(static_cast<T*>(std::aligned_alloc(64, bytes)));
    std::fill_n(reinterpret_cast<uint8_t*>(memory.get()), bytes, uint8_t(0));
    return memory;
}

inline Arithmetic arithmetic_of(TileKernels KernelSet::* place) {
    if (place == &KernelSet::wide16) return Arithmetic::wide16;
    if (place == &KernelSet::dot) return Arithmetic::dot;
    if (place == &KernelSet::dotruns || place == &KernelSet::dotruns_short)
        return Arithmetic::dotruns;
    return Arithmetic::runs16;
}

// Of weights whose sums of a run of so many steps an arithmetic holds.
inline int largest_weight(TileKernels KernelSet::* place, int steps) {
    if (place == &KernelSet::dot || place == &KernelSet::dotruns) return 127;
    if (place == &KernelSet::wide16) return 127 * 255;
    const int products = arithmetic_of(place) == Arithmetic::dotruns ? 4 : 2;
    return std::min(7, 32767 / (products * 255 * steps));
}

// One layer's worth of K-steps in runs, for `positions` positions and one panel.
class Steps {
  public:
    Steps(const KernelSet& set, Arithmetic arithmetic, int largest, std::vector<uint16_t> run_steps,
          int positions, unsigned seed)
        : set_(set),
          arithmetic_(arithmetic),
          run_steps_(std::move(run_steps)),
          positions_(positions) {
        std::mt19937 random(seed);
        for (uint16_t steps : run_steps_) steps_ += steps;
        lanes_ = arithmetic == Arithmetic::wide16 ? 2 : 4;
        for (int i = 0; i < steps_ * positions * lanes_; ++i) x_.push_back(int(random() % 256));
        if (takes_signed())
            for (int& x : x_) x -= 128;
        for (int i = 0; i < steps_ * set.panel * lanes_; ++i)
            w_.push_back(int(random() % (2 * largest + 1)) - largest);
        const bool one_scale = arithmetic != Arithmetic::runs16;
        alpha_ = aligned_array<uint8_t>(run_steps_.size() * set.panel * 2);
        wide_alpha_ = aligned_array<int16_t>(run_steps_.size() * set.panel * 2);
        for (std::size_t i = 0; i < run_steps_.size() * set.panel * 2; ++i) {
            const bool again = one_scale && i % 2 == 1;
            alpha_[i] = again ? alpha_[i - 1] : uint8_t(random());
            wide_alpha_[i] = alpha_[i];
        }
        // [step][position], four bytes each: lanes of int8, or of int16; and [position][step].
        activations_ = aligned_array<uint8_t>(std::size_t(steps_) * positions * 4);
        for (int i = 0; i < steps_ * positions * lanes_; ++i) {
            activations_[i * 4 / lanes_] = uint8_t(x_[i]);
        }
        // ... and with its steps in another order.
        apart_ = aligned_array<uint8_t>(std::size_t(positions) * row_pitch());
        uneven_ = aligned_array<uint8_t>(std::size_t(positions) * row_pitch());
        for (int step = 0; step < steps_; ++step) {
            pitches_.push_back(4 * (place(step + 1) - place(step)));
            for (int p = 0; p < positions; ++p) {
                const uint8_t* const from = &activations_[4 * (step * positions + p)];
                std::copy_n(from, 4, &apart_[p * row_pitch() + 4 * step]);
                std::copy_n(from, 4, &uneven_[p * row_pitch() + 4 * place(step)]);
            }
        }
    }

    const std::vector<uint16_t>& run_steps() const { return run_steps_; }
    const std::vector<int>& weights() const { return w_; }
    int steps() const { return steps_; }
    int lanes() const { return lanes_; }
    double macs() const { return double(steps_) * lanes_ * set_.panel * positions_; }

    // acc as it is before, and whether the scales are in the weights already (wide16's tiles).
    std::vector<int32_t> expected(const std::vector<int32_t>& before, bool scaled) const {
        std::vector<int32_t> result = before;
        for (int p = 0; p < positions_; ++p) {
            for (int o = 0; o < set_.panel; ++o) {
                int step = 0;
                int64_t total = 0;
                for (std::size_t run = 0; run < run_steps_.size(); ++run) {
                    int64_t halves[2] = {0, 0};
                    for (const int end = step + run_steps_[run]; step < end; ++step) {
                        for (int lane = 0; lane < lanes_; ++lane) {
                            const int x = x_[(step * positions_ + p) * lanes_ + lane];
                            halves[lane * 2 / lanes_] +=
                                int64_t(x) * w_[(step * set_.panel + o) * lanes_ + lane];
                        }
                    }
                    const uint8_t* alpha = alpha_.get() + (run * set_.panel + o) * 2;
                    total += scaled ? halves[0] + halves[1]
                                    : alpha[0] * halves[0] + alpha[1] * halves[1];
                }
                result[p * set_.panel + o] += int32_t(total);
            }
        }
        return result;
    }

    enum class Rows { neighbours, apart, uneven };  // uneven: apart, and so are steps

    // For tiles side by side; weights are expanded, acc is [positions][panel].
    TileArguments tile(int rows, int32_t* acc, bool first, Rows lie = Rows::neighbours) {
        if (wide_weights_ == nullptr) {
            weights_ = aligned_array<int8_t>(w_.size());
            wide_weights_ = aligned_array<int16_t>(w_.size());
            for (std::size_t i = 0; i < w_.size(); ++i) {
                weights_[i] = int8_t(w_[i]);
                wide_weights_[i] = int16_t(w_[i]);
            }
        }
        TileArguments t{};
        const bool neighbours = lie == Rows::neighbours, uneven = lie == Rows::uneven;
        t.activations = neighbours ? activations_.get()
                        : uneven   ? uneven_.get() + 4 * place(0)
                                   : apart_.get();
        t.pitch = neighbours ? 4 * positions_ : 4;
        t.row_pitch = neighbours ? 4 : row_pitch();
        t.pitches = uneven ? pitches_.data() : nullptr;
        t.tiles = positions_ / rows;
        t.weights = arithmetic_ == Arithmetic::wide16
                        ? static_cast<const void*>(wide_weights_.get())
                        : weights_.get();
        t.alpha = alpha_.get();
        t.wide_alpha = wide_alpha_.get();
        t.run_steps = run_steps_.data();
        t.runs = int(run_steps_.size());
        t.steps = steps_;
        t.acc = acc;
        t.first = first;
        return t;
    }

    // For one position; weights are stored in a format.
    RowArguments row(const weights::Format& format, int32_t* acc, bool first) {
        if (packed_ == nullptr) {
            packed_ = packed(format);
            int step = 0;
            for (uint16_t length : run_steps_) {
                int halves[2] = {0, 0};
                for (int i = step * lanes_; i < (step + length) * lanes_; ++i)
                    halves[i % lanes_ * 2 / lanes_] -= x_[i];
                corrections_.push_back(
                    arithmetic_ == Arithmetic::runs16
                        ? int32_t((uint32_t(halves[0]) & 0xffffu) | uint32_t(halves[1]) << 16)
                        : halves[0] + halves[1]);
                step += length;
            }
        }
        RowArguments t{};
        t.activations = activations_.get();
        t.packed = packed_.get();
        t.alpha = alpha_.get();
        t.run_steps = run_steps_.data();
        t.runs = int(run_steps_.size());
        t.corrections = corrections_.data();
        t.acc = acc;
        t.first = first;
        return t;
    }

    // Whole packing units.
    int vectors(const weights::Format& format) const {
        const int unit = format.codes_per_byte();
        return (steps_ * lanes_ / 2 + unit - 1) / unit * unit;
    }

    std::unique_ptr<uint8_t[], Free> packed(const weights::Format& format) const {
        const int width = 2 * set_.panel, unit = format.codes_per_byte();
        auto bytes = aligned_array<uint8_t>(std::size_t(vectors(format)) / unit * width);
        for (std::size_t i = 0; i < w_.size(); ++i) {
            const std::size_t vector = i / width;
            const int code = (w_[i] + format.bias) & ((1 << format.bits) - 1);
            bytes[vector / unit * width + i % width] |=
                uint8_t(code << (vector % unit * format.bits));
        }
        return bytes;
    }

  private:
    int row_pitch() const { return 4 * steps_ + 20; }
    // Of a step among the uneven ones: pairs change places.
    static int place(int step) { return step ^ 1; }
    bool takes_signed() const {
        return set_.signed_activations && arithmetic_ != Arithmetic::wide16;
    }

    const KernelSet& set_;
    Arithmetic arithmetic_;
    std::vector<uint16_t> run_steps_;
    int positions_, steps_ = 0, lanes_ = 4;
    std::vector<int> x_, w_;
    std::unique_ptr<uint8_t[], Free> activations_, apart_, uneven_, alpha_, packed_;
    std::vector<int32_t> pitches_;
    std::unique_ptr<int8_t[], Free> weights_;
    std::unique_ptr<int16_t[], Free> wide_weights_, wide_alpha_;
    std::vector<int32_t> corrections_;
};

}  // namespace sub8::kernels
