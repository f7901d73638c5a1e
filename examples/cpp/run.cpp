// Runs a model of one input and one output: run MODEL.s8 INPUT.raw OUTPUT.raw THREADS SIZE...
//
// The files are the arrays' bytes, row-major. Here the C interface in C++: what is opened is closed
// by its owner, what fails throws.
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sub8.h>

namespace {

struct Close {
    void operator()(sub8_model* model) const { sub8_close(model); }
    void operator()(sub8_session* session) const { sub8_session_free(session); }
};

template <typename T>
std::unique_ptr<T, Close> owned(T* made) {
    if (made == nullptr) throw std::runtime_error(sub8_last_error());
    return std::unique_ptr<T, Close>(made);
}

void check(sub8_status status) {
    if (status != SUB8_OK) throw std::runtime_error(sub8_last_error());
}

void run(const std::vector<std::string>& arguments) {
    if (arguments.size() < 5) {
        throw std::runtime_error("use: run MODEL.s8 INPUT.raw OUTPUT.raw THREADS SIZE...");
    }
    const auto model = owned(sub8_open(arguments[0].c_str()));
    const auto session =
        owned(sub8_session_create(model.get(), std::atoi(arguments[3].c_str()), nullptr));
    std::ifstream file(arguments[1], std::ios::binary);
    std::vector<char> given{std::istreambuf_iterator<char>(file), {}};
    sub8_array input{};
    input.data = given.data();
    input.bytes = given.size();
    for (std::size_t i = 4; i < arguments.size() && input.rank < SUB8_MOST_AXES; ++i) {
        input.sizes[input.rank++] = std::atoll(arguments[i].c_str());
    }
    sub8_array output{};
    check(sub8_output_sizes(session.get(), &input, 1, &output, 1));
    std::vector<char> result(output.bytes);
    output.data = result.data();
    check(sub8_run(session.get(), &input, 1, &output, 1));
    std::ofstream(arguments[2], std::ios::binary)
        .write(result.data(), static_cast<std::streamsize>(result.size()));
    for (int axis = 0; axis < output.rank; ++axis) std::cout << output.sizes[axis] << ' ';
    std::cout << '\n';
}

}  // namespace

int main(int count, char** arguments) {
    try {
        run({arguments + 1, arguments + count});
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "run: " << error.what() << '\n';
        return 2;
    }
}
