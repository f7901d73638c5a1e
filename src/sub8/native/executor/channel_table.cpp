#include "executor/channel_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "executor/sizes.h"

namespace sub8::executor {
namespace {

constexpr std::int64_t kBlock = 4096;  // bytes that are copied, then changed where they lie

std::vector<std::uint8_t> checked(std::vector<std::uint8_t> tables, std::int64_t channels) {
    require(
        static_cast<std::int64_t>(tables.size()) == checked_product({channels, kernels::kEntries}),
        "a table of 256 bytes for each channel is needed");
    return tables;
}

}  // namespace

ChannelTable::ChannelTable(const Buffer& x, const Buffer& out, std::int64_t outer,
                           std::int64_t channels, std::int64_t inner,
                           std::vector<std::uint8_t> tables)
    : x_(x), out_(out), outer_(outer), channels_(channels), inner_(inner) {
    const std::int64_t count = checked_product({outer, channels, inner});
    tables = checked(std::move(tables), channels);
    if (inner != 1) {
        for (std::int64_t channel = 0; channel < channels; ++channel)
            along_.push_back(kernels::byte_function(tables.data() + channel * kernels::kEntries));
    } else {
        beside_.emplace(std::move(tables));
    }
    reading(x, count);
    writing(out, count);
}

void ChannelTable::run(const Frame& frame, const Worker& worker) const {
    const std::uint8_t* const from = x_.read(frame);
    std::uint8_t* const to = out_.write(frame);
    if (!beside_) {
        const Range part = share(outer_ * channels_, worker);
        for (std::int64_t run = part.begin; run < part.end; ++run) {
            worker.kernels.look_up(from + run * inner_, 1, inner_, inner_,
                                   along_[std::size_t(run % channels_)], to + run * inner_);
        }
        return;
    }
    const Range part = share(outer_, worker);
    const std::int64_t most = std::max<std::int64_t>(1, kBlock / channels_);
    for (std::int64_t row = part.begin; row < part.end; row += most) {
        const std::int64_t rows = std::min(most, part.end - row);
        std::uint8_t* const block = to + row * channels_;
        std::memcpy(block, from + row * channels_, std::size_t(rows * channels_));
        beside_->apply(worker.kernels, block, rows, channels_, channels_, 0);
    }
}

}  // namespace sub8::executor
