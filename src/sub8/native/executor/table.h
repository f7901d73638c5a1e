// Element-wise function of one 8-bit tensor: a table of 256 bytes, indexed by the byte.
#pragma once

#include <array>
#include <cstdint>

#include "executor/step.h"

namespace sub8::executor {

class Table : public Step {
  public:
    Table(const Buffer& x, const Buffer& out, std::int64_t count,
          const std::array<std::uint8_t, 256>& table);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    std::int64_t count_;
    std::array<std::uint8_t, 256> table_;
};

}  // namespace sub8::executor
