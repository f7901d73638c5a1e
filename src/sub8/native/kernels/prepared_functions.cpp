#include "kernels/prepared_functions.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/declarations.h"

namespace sub8::kernels {
namespace {

constexpr int kHalf = 128, kRow = 16;

ByteFunction::Half half_of(const std::uint8_t* entries, int start, int times) {
    ByteFunction::Half half{};
    half.times = times;
    std::uint8_t before[kRow] = {};
    for (int first = 0; first < kHalf; first += kRow) {
        std::uint8_t* const addends = half.addends[half.steps];
        bool any = false;
        for (int i = 0; i < kRow; ++i) {
            const int x = start + first + i;
            const auto rest = std::uint8_t(entries[x] - times * x);
            addends[i] = std::uint8_t(rest - before[i]);
            before[i] = rest;
            any = any || addends[i] != 0;
        }
        if (any) half.first[half.steps++] = std::uint8_t(first);
    }
    return half;
}

int value(int byte, bool is_signed) { return is_signed ? std::int8_t(byte) : byte; }

// The bend that tables are, if they all have a knee at the byte `knee`.
class Trial {
  public:
    Trial(const std::vector<std::uint8_t>& tables, bool in_signed, bool out_signed, int knee)
        : tables_(tables),
          channels_(tables.size() / kEntries),
          in_signed_(in_signed),
          out_signed_(out_signed),
          bend_{in_signed, value(knee, in_signed), 0, out_signed ? -128 : 0,
                out_signed ? 127 : 255} {
        bend_.zero_point = value(tables[knee], out_signed);
        for (std::size_t c = 1; c < channels_ && possible_; ++c)
            possible_ = tables[c * kEntries + knee] == tables[knee];
    }

    bool fits() {
        for (std::size_t c = 0; c < channels_ && possible_; ++c) {
            below.push_back(float(slope(c, false)));
            above.push_back(float(slope(c, true)));
        }
        return possible_ && is_exact();
    }

    const Bend& bend() const { return bend_; }
    std::vector<float> below, above;

  private:
    int entry(std::size_t channel, int byte) const {
        return value(tables_[channel * kEntries + byte], out_signed_);
    }

    // The middle of all slopes that round to the entries of one side.
    double slope(std::size_t channel, bool above) {
        double least = -std::numeric_limits<double>::infinity(), most = -least;
        for (int byte = 0; byte < kEntries; ++byte) {
            const int x = value(byte, in_signed_) - bend_.knee;
            if (x == 0 || (x > 0) != above) continue;
            const int y = entry(channel, byte);
            double low = y - bend_.zero_point - 0.5, high = low + 1;
            if (y == bend_.low) low = -std::numeric_limits<double>::infinity();
            if (y == bend_.high) high = std::numeric_limits<double>::infinity();
            if (x < 0) std::swap(low, high);
            least = std::max(least, low / x);
            most = std::min(most, high / x);
        }
        possible_ = possible_ && least <= most;
        if (std::isinf(least) && std::isinf(most)) return 0;
        if (std::isinf(least)) return most;
        if (std::isinf(most)) return least;
        return (least + most) / 2;
    }

    // By the kernel that all others equal.
    bool is_exact() const {
        std::vector<std::uint8_t> every(tables_.size());
        for (std::size_t i = 0; i < every.size(); ++i) every[i] = std::uint8_t(i / channels_);
        const auto channels = std::int64_t(channels_);
        scalar::elements.bend(every.data(), kEntries, channels, channels, below.data(),
                              above.data(), bend_);
        for (std::size_t i = 0; i < every.size(); ++i) {
            if (every[i] != tables_[i % channels_ * kEntries + i / channels_]) return false;
        }
        return true;
    }

    const std::vector<std::uint8_t>& tables_;
    std::size_t channels_;
    bool in_signed_, out_signed_;
    Bend bend_;
    bool possible_ = true;
};

}  // namespace

ByteFunction byte_function(const std::uint8_t* entries) {
    ByteFunction function{};
    std::memcpy(function.entries, entries, kEntries);
    for (int number = 0; number < 2; ++number) {
        ByteFunction::Half& best = function.halves[number];
        best = half_of(entries, kHalf * number, 0);
        for (const int times : {1, 2, 4}) {
            const ByteFunction::Half half = half_of(entries, kHalf * number, times);
            if (half.steps < best.steps) best = half;
        }
    }
    return function;
}

ChannelFunctions::ChannelFunctions(std::vector<std::uint8_t> tables) : tables_(std::move(tables)) {
    for (int number = 0; number < 4 * kEntries && !computed(); ++number) {
        Trial trial(tables_, number % 2 == 0, number / 2 % 2 == 0, number / 4);
        if (!trial.fits()) continue;
        bend_ = trial.bend();
        below_ = std::move(trial.below);
        above_ = std::move(trial.above);
    }
    if (!computed()) return;
    // Of few channels, several positions are one row of the kernel's.
    constexpr std::size_t kColumns = 64, kMost = 2048;
    const std::size_t whole = std::lcm(below_.size(), kColumns);
    const std::size_t count = whole <= kMost ? whole : below_.size();
    for (std::vector<float>* slopes : {&below_, &above_}) {
        for (std::size_t i = slopes->size(); i < count; ++i)
            slopes->push_back((*slopes)[i - std::size_t(channels())]);
        slopes->resize(count + Bend::kBeyond);
    }
    together_ = std::int64_t(count);
}

void ChannelFunctions::apply(const ElementKernels& kernels, std::uint8_t* x, std::int64_t rows,
                             std::int64_t columns, std::int64_t pitch, int first) const {
    if (!computed()) {
        const std::uint8_t* const tables = tables_.data() + std::size_t(first) * kEntries;
        for (std::int64_t row = 0; row < rows; ++row, x += pitch) {
            const std::uint8_t* table = tables;
            for (std::int64_t i = 0; i < columns; ++i, table += kEntries) x[i] = table[x[i]];
        }
        return;
    }
    const float* const below = below_.data() + first;
    const float* const above = above_.data() + first;
    if (columns == channels() && pitch == columns) {
        const std::int64_t count = rows * columns, whole = count / together_;
        kernels.bend(x, whole, together_, together_, below, above, *bend_);
        x += whole * together_;
        rows = 1, columns = count - whole * together_;
    }
    kernels.bend(x, rows, columns, pitch, below, above, *bend_);
}

}  // namespace sub8::kernels
