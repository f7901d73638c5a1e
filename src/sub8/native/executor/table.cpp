#include "executor/table.h"

#include "executor/sizes.h"

namespace sub8::executor {

Table::Table(const Buffer& x, const Buffer& out, std::int64_t count,
             const std::array<std::uint8_t, 256>& table)
    : x_(x), out_(out), count_(count), table_(table) {
    checked_product({count});
    reading(x, count);
    writing(out, count);
}

void Table::run(const Frame& frame, const Worker& worker) const {
    const Range part = share(count_, worker);
    worker.kernels.look_up(x_.read(frame) + part.begin, part.end - part.begin, table_.data(),
                           out_.write(frame) + part.begin);
}

}  // namespace sub8::executor
