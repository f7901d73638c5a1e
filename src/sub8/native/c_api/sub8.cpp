#include "c_api/sub8.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "executor/sizes.h"
#include "runtime/session.h"

struct sub8_model {
    std::shared_ptr<const sub8::runtime::Model> model;
};

struct sub8_session {
    sub8::runtime::Session session;
};

namespace {

using sub8::executor::require;
using sub8::runtime::Shape;
using sub8::runtime::Tensor;

constexpr int kMostThreads = 256;

thread_local char last_error[1024] = "";

sub8_status failed(sub8_status status, const char* why) {
    std::snprintf(last_error, sizeof last_error, "%s", why);
    return status;
}

// Nothing that is thrown leaves the library.
template <typename Work>
sub8_status guarded(const Work& work) noexcept {
    try {
        work();
        return SUB8_OK;
    } catch (const std::invalid_argument& error) {
        return failed(SUB8_BAD_ARGUMENT, error.what());
    } catch (const std::bad_alloc&) {
        return failed(SUB8_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        return failed(SUB8_FAILED, error.what());
    } catch (...) {
        return failed(SUB8_FAILED, "unknown");
    }
}

int processors() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::unique_ptr<sub8_model> opened(std::shared_ptr<const sub8::runtime::Model> model) {
    for (const auto* tensors : {&model->inputs(), &model->outputs()}) {
        for (const Tensor& tensor : *tensors) {
            require(tensor.sizes.size() <= SUB8_MOST_AXES, "a tensor has more than 8 axes");
        }
    }
    return std::make_unique<sub8_model>(sub8_model{std::move(model)});
}

sub8_status describe(const std::vector<Tensor>& tensors, size_t index, sub8_tensor* result) {
    return guarded([&] {
        require(index < tensors.size(), "there is no tensor of that number");
        require(result != nullptr, "a pointer is NULL");
        const Tensor& tensor = tensors[index];
        *result = sub8_tensor{};
        result->name = tensor.name.c_str();
        result->type = static_cast<sub8_type>(tensor.type);
        result->rank = tensor.any_rank ? SUB8_ANY : static_cast<int>(tensor.sizes.size());
        std::copy(tensor.sizes.begin(), tensor.sizes.end(), result->sizes);
    });
}

std::vector<Shape> shapes(const std::vector<Tensor>& tensors, const sub8_array* arrays,
                          size_t count) {
    if (count != tensors.size()) {
        throw std::invalid_argument("the model takes " + std::to_string(tensors.size()) +
                                    " inputs, not " + std::to_string(count));
    }
    require(arrays != nullptr || count == 0, "a pointer is NULL");
    std::vector<Shape> result;
    for (size_t i = 0; i < count; ++i) {
        require(arrays[i].rank >= 0 && arrays[i].rank <= SUB8_MOST_AXES,
                "an array has 0 to 8 axes");
        result.emplace_back(arrays[i].sizes, arrays[i].sizes + arrays[i].rank);
    }
    return result;
}

size_t bytes_of(const Shape& shape, const Tensor& tensor) {
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
    const std::int64_t count = sub8::executor::checked_product(shape);
    require(count <= static_cast<std::int64_t>(PTRDIFF_MAX / tensor.element_bytes()),
            "an array is too large for this machine");
    return static_cast<size_t>(count * tensor.element_bytes());
}

void check_data(const void* data, const Tensor& tensor) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(data) %
                             static_cast<std::uintptr_t>(tensor.element_bytes()) ==
                         0;
    if (data == nullptr || !aligned) {
        throw std::invalid_argument("the data of '" + tensor.name + "' " +
                                    (data == nullptr ? "is NULL" : "is not aligned"));
    }
}

// The arrays' bytes must be those of their shapes, and no float NaN, which has no 8-bit form.
const std::uint8_t* checked_input(const sub8_array& array, const Shape& shape,
                                  const Tensor& tensor) {
    const size_t bytes = bytes_of(shape, tensor);
    if (array.bytes != bytes) {
        throw std::invalid_argument("input '" + tensor.name + "' of these sizes has " +
                                    std::to_string(bytes) + " bytes, not " +
                                    std::to_string(array.bytes));
    }
    check_data(array.data, tensor);
    if (tensor.type == sub8::description::DataType_float32) {
        const auto* first = static_cast<const float*>(array.data);
        const auto count = static_cast<std::ptrdiff_t>(bytes / sizeof(float));
        // Counted, which takes vectors, since almost never is there one.
        if (std::count_if(first, first + count, [](float x) { return x != x; }) > 0) {
            throw std::invalid_argument("input '" + tensor.name +
                                        "' holds NaN, which has no 8-bit form");
        }
    }
    return static_cast<const std::uint8_t*>(array.data);
}

std::uint8_t* checked_output(const sub8_array& array, const Shape& shape, const Tensor& tensor) {
    const size_t bytes = bytes_of(shape, tensor);
    if (array.bytes < bytes) {
        throw std::invalid_argument("output '" + tensor.name + "' needs " + std::to_string(bytes) +
                                    " bytes, has " + std::to_string(array.bytes));
    }
    if (bytes > 0) check_data(array.data, tensor);
    return static_cast<std::uint8_t*>(array.data);
}

void set_shape(const Shape& shape, sub8_array* array) {
    array->rank = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), array->sizes);
}

void require_outputs(const std::vector<Tensor>& tensors, const sub8_array* arrays, size_t count) {
    if (count != tensors.size() || (arrays == nullptr && count > 0)) {
        throw std::invalid_argument("the model has " + std::to_string(tensors.size()) +
                                    " outputs, not " + std::to_string(arrays ? count : 0));
    }
}

}  // namespace

const char* sub8_version(void) { return SUB8_VERSION; }

const char* sub8_last_error(void) { return last_error; }

sub8_model* sub8_open(const char* path) {
    sub8_model* model = nullptr;
    guarded([&] {
        require(path != nullptr, "a pointer is NULL");
        model = opened(sub8::runtime::Model::open(path)).release();
    });
    return model;
}

sub8_model* sub8_open_memory(const void* data, size_t bytes) {
    sub8_model* model = nullptr;
    guarded([&] {
        require(data != nullptr || bytes == 0, "a pointer is NULL");
        model = opened(sub8::runtime::Model::of_memory(data, bytes)).release();
    });
    return model;
}

void sub8_close(sub8_model* model) { delete model; }

size_t sub8_input_count(const sub8_model* model) {
    return model == nullptr ? 0 : model->model->inputs().size();
}

size_t sub8_output_count(const sub8_model* model) {
    return model == nullptr ? 0 : model->model->outputs().size();
}

sub8_status sub8_input(const sub8_model* model, size_t index, sub8_tensor* tensor) {
    if (model == nullptr) return failed(SUB8_BAD_ARGUMENT, "a pointer is NULL");
    return describe(model->model->inputs(), index, tensor);
}

sub8_status sub8_output(const sub8_model* model, size_t index, sub8_tensor* tensor) {
    if (model == nullptr) return failed(SUB8_BAD_ARGUMENT, "a pointer is NULL");
    return describe(model->model->outputs(), index, tensor);
}

sub8_session* sub8_session_create(const sub8_model* model, int threads, const char* isa) {
    sub8_session* session = nullptr;
    guarded([&] {
        require(model != nullptr, "a pointer is NULL");
        require(threads >= 0 && threads <= kMostThreads, "threads must lie in 0..256");
        const int team = threads > 0 ? threads : std::min(processors(), kMostThreads);
        session =
            new sub8_session{{model->model, sub8::select_isa(isa == nullptr ? "" : isa), team}};
    });
    return session;
}

void sub8_session_free(sub8_session* session) { delete session; }

sub8_status sub8_output_sizes(const sub8_session* session, const sub8_array* inputs,
                              size_t input_count, sub8_array* outputs, size_t output_count) {
    return guarded([&] {
        require(session != nullptr, "a pointer is NULL");
        const sub8::runtime::Model& model = session->session.model();
        require_outputs(model.outputs(), outputs, output_count);
        const auto ready = session->session.ready(shapes(model.inputs(), inputs, input_count));
        for (size_t i = 0; i < output_count; ++i) {
            set_shape(ready.outputs[i], &outputs[i]);
            outputs[i].bytes = bytes_of(ready.outputs[i], model.outputs()[i]);
        }
    });
}

sub8_status sub8_run(const sub8_session* session, const sub8_array* inputs, size_t input_count,
                     sub8_array* outputs, size_t output_count) {
    return guarded([&] {
        require(session != nullptr, "a pointer is NULL");
        const sub8::runtime::Model& model = session->session.model();
        require_outputs(model.outputs(), outputs, output_count);
        const std::vector<Shape> given = shapes(model.inputs(), inputs, input_count);
        const auto ready = session->session.ready(given);
        std::vector<const std::uint8_t*> from;
        for (size_t i = 0; i < input_count; ++i) {
            from.push_back(checked_input(inputs[i], given[i], model.inputs()[i]));
        }
        std::vector<std::uint8_t*> to;
        for (size_t i = 0; i < output_count; ++i) {
            to.push_back(checked_output(outputs[i], ready.outputs[i], model.outputs()[i]));
        }
        ready.program->run(from, to, nullptr);
        for (size_t i = 0; i < output_count; ++i) set_shape(ready.outputs[i], &outputs[i]);
    });
}
