#include "executor/table.h"

#include "executor/sizes.h"
#include "kernels/prepared_functions.h"

namespace sub8::executor {

Table::Table(const Buffer& x, const Buffer& out, std::int64_t count, const std::uint8_t* entries)
    : x_(x), out_(out), count_(count), function_(kernels::byte_function(entries)) {
    checked_product({count});
    reading(x, count);
    writing(out, count);
}

void Table::run(const Frame& frame, const Worker& worker) const {
    const Range part = share(count_, worker);
    const std::int64_t count = part.end - part.begin;
    worker.kernels.look_up(x_.read(frame) + part.begin, 1, count, count, function_,
                           out_.write(frame) + part.begin);
}

}  // namespace sub8::executor
