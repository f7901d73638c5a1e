// Reading a description that FlatBuffers has verified: what is missing, and copies of what is
// there.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "description/model_generated.h"

namespace sub8::loader {

// The root of a buffer. Throws std::invalid_argument where it does not hold together: an offset, a
// length or an alignment that leads outside.
template <typename Root>
const Root& verified(const void* data, std::size_t bytes) {
    constexpr std::size_t kDepth = 16, kTables = std::size_t{1} << 24;
    // The verifier takes no buffer that is larger.
    const bool too_large = bytes >= FLATBUFFERS_MAX_BUFFER_SIZE;
    if (!too_large) {
        flatbuffers::Verifier verifier(static_cast<const std::uint8_t*>(data), bytes, kDepth,
                                       kTables);
        if (verifier.VerifyBuffer<Root>(nullptr)) return *flatbuffers::GetRoot<Root>(data);
    }
    throw std::invalid_argument("its structure is damaged");
}

// What a pointer leads to; a field may be missing from any table.
template <typename T>
const T& present(const T* field, const char* name) {
    if (field == nullptr) throw std::invalid_argument(std::string(name) + " is missing");
    return *field;
}

// A vector's numbers; none where it is missing.
template <typename T, typename U = T>
std::vector<U> numbers(const flatbuffers::Vector<T>* field) {
    return field == nullptr ? std::vector<U>() : std::vector<U>(field->begin(), field->end());
}

}  // namespace sub8::loader
