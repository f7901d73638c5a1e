// Reading a description that FlatBuffers has verified: what is missing, and copies of what is
// there.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstddef>
#include <cstdint>
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

// Bytes in memory. A file's may be more than a machine of 32 bits has addresses.
inline std::size_t size(std::uint64_t bytes) {
    if (bytes > SIZE_MAX) throw std::invalid_argument("a size is too large for this machine");
    return static_cast<std::size_t>(bytes);
}

// FlatBuffers' verifier looks at where a vector starts, not where its elements do.
template <typename T>
void require_aligned(const flatbuffers::Vector<T>& field) {
    if (reinterpret_cast<std::uintptr_t>(field.Data()) % alignof(T) != 0) {
        throw std::invalid_argument("its structure is damaged");
    }
}

inline std::vector<std::size_t> sizes(const flatbuffers::Vector<std::uint64_t>* field) {
    std::vector<std::size_t> result;
    if (field == nullptr) return result;
    require_aligned(*field);
    for (const std::uint64_t bytes : *field) result.push_back(size(bytes));
    return result;
}

// A vector's numbers; none where it is missing.
template <typename T>
std::vector<T> numbers(const flatbuffers::Vector<T>* field) {
    if (field == nullptr) return {};
    require_aligned(*field);
    return {field->begin(), field->end()};
}

// Whether bytes are UTF-8 without control characters.
inline bool is_text(const std::uint8_t* at, const std::uint8_t* end) {
    while (at < end) {
        const std::uint8_t first = *at++;
        if (first < 0x20 || first == 0x7F) return false;
        if (first < 0x80) continue;
        const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (first < 0xC2 || first > 0xF4 || end - at < more) return false;
        const std::uint8_t second = *at;
        // Longer than need be, surrogates, behind the last character.
        if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
            (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) {
            return false;
        }
        for (int i = 0; i < more; ++i) {
            if ((*at++ & 0xC0) != 0x80) return false;
        }
    }
    return true;
}

inline std::string text(const flatbuffers::String* field, const char* name) {
    const flatbuffers::String& found = present(field, name);
    if (!is_text(found.Data(), found.Data() + found.size())) {
        throw std::invalid_argument(std::string(name) + " is no printable text");
    }
    return found.str();
}

}  // namespace sub8::loader
