// A function of every channel's own: one table of 256 bytes a channel, indexed by the byte.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "executor/step.h"
#include "kernels/prepared_functions.h"

namespace sub8::executor {

class ChannelTable : public Step {
  public:
    // x and out are [outer, channels, inner]; tables [channels, 256].
    ChannelTable(const Buffer& x, const Buffer& out, std::int64_t outer, std::int64_t channels,
                 std::int64_t inner, std::vector<std::uint8_t> tables);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    Buffer x_, out_;
    std::int64_t outer_, channels_, inner_;
    // Of elements whose neighbours are of other channels; of runs of one channel.
    std::optional<kernels::ChannelFunctions> beside_;
    std::vector<kernels::ByteFunction> along_;
};

}  // namespace sub8::executor
