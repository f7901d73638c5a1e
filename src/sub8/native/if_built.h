// SUB8_IF_BUILT(avx2, code): the code where this build holds the instruction set, otherwise
// nothing.
#pragma once

#define SUB8_WITH_scalar 1  // the others: CMakeLists.txt

// Of (0, 1, 0) where SUB8_WITH_<isa> is 1, of (junk 1, 0) where it is not defined: the second.
#define SUB8_PLACEHOLDER_1 0,
#define SUB8_SECOND(first, second, ...) second
#define SUB8_IS_ONE_(placeholder) SUB8_SECOND(placeholder 1, 0, )
#define SUB8_IS_ONE(value) SUB8_IS_ONE_(SUB8_JOIN(SUB8_PLACEHOLDER_, value))
#define SUB8_JOIN_(a, b) a##b
#define SUB8_JOIN(a, b) SUB8_JOIN_(a, b)
#define SUB8_KEEP_0(...)
#define SUB8_KEEP_1(...) __VA_ARGS__
#define SUB8_IF_BUILT(isa, ...) SUB8_JOIN(SUB8_KEEP_, SUB8_IS_ONE(SUB8_WITH_##isa))(__VA_ARGS__)
