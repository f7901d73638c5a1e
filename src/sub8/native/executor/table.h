// Element-wise function of one 8-bit tensor: a table of 256 bytes, indexed by the byte.
#pragma once

#include <cstdint>

#include "executor/step.h"
#include "kernels/functions.h"

namespace sub8::executor {

class Table : public Step {
  public:
    Table(const Buffer& x, const Buffer& out, std::int64_t count, const std::uint8_t* entries);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    std::int64_t count_;
    kernels::ByteFunction function_;
};

}  // namespace sub8::executor
