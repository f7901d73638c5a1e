// Data movement: transposition, slicing, concatenation, padding and layout changes are all strided
// copies.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/step.h"

namespace sub8::executor {

// Elements of one side of a copy: element offset of the first one and element strides per axis.
struct View {
    std::int64_t offset = 0;
    std::vector<std::int64_t> strides;
};

class Copy : public Step {
  public:
    // Copies elements of 1, 4 or 8 bytes over a space of `sizes`. target strides must not fold
    // elements together.
    Copy(const Buffer& source, const View& source_view, const Buffer& target,
         const View& target_view, std::vector<std::int64_t> sizes, int element_bytes);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    template <typename Element>
    void run_as(const Frame& frame, const Worker& worker) const;
    template <typename Element>
    void turn(const Element* source, Element* target, const Worker& worker) const;

    bool bring_turned_axis_last_but_one();

    Buffer source_, target_;
    View from_, to_;
    std::vector<std::int64_t> sizes_;
    int element_bytes_;
    bool turns_;  // the last two axes
};

// Every byte of a buffer to one value.
class Fill : public Step {
  public:
    Fill(const Buffer& target, int value);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer target_;
    int value_;
};

}  // namespace sub8::executor
