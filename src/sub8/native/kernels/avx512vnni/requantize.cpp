// Results of 32 outputs at a time, a last 16 and 8 too (x86 AVX-512).
#include "kernels/avx512vnni/lanes512.h"
#include "kernels/declarations.h"

// After vectors.h.
#include "kernels/avx2/lanes256.h"

namespace sub8::kernels::avx512vnni {
namespace {

using avx2::Lanes256;

template <typename Columns>
SUB8_INLINE int by_vectors(const RequantizeArguments& t) {
    int column = Columns::template two<Lanes512>(t, 0);
    column = Columns::template one<Lanes512>(t, column);
    return Columns::template one<Lanes256>(t, column);
}

#include "kernels/requantize.inl"

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::avx512vnni
