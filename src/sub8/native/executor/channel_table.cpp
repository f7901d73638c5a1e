#include "executor/channel_table.h"

#include <utility>

#include "executor/sizes.h"

namespace sub8::executor {

constexpr std::int64_t kEntries = 256;

ChannelTable::ChannelTable(const Buffer& x, const Buffer& out, std::int64_t outer,
                           std::int64_t channels, std::int64_t inner,
                           std::vector<std::uint8_t> tables)
    : x_(x),
      out_(out),
      outer_(outer),
      channels_(channels),
      inner_(inner),
      tables_(std::move(tables)) {
    const std::int64_t count = checked_product({outer, channels, inner});
    require(static_cast<std::int64_t>(tables_.size()) == checked_product({channels, kEntries}),
            "a table of 256 bytes for each channel is needed");
    reading(x, count);
    writing(out, count);
}

void ChannelTable::run(const Frame& frame, const Worker& worker) const {
    const Range part = share(outer_, worker);
    const std::int64_t slice = channels_ * inner_;
    for (std::int64_t index = part.begin; index < part.end; ++index) {
        const std::uint8_t* from = x_.read(frame) + index * slice;
        std::uint8_t* to = out_.write(frame) + index * slice;
        const std::uint8_t* table = tables_.data();
        for (std::int64_t channel = 0; channel < channels_; ++channel, table += kEntries) {
            for (std::int64_t i = 0; i < inner_; ++i) *to++ = table[*from++];
        }
    }
}

}  // namespace sub8::executor
