// Results of 16 outputs at a time, a last 8 too (x86 AVX2).
#include "kernels/avx2/lanes256.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

template <typename Columns>
SUB8_INLINE int by_vectors(const RequantizeArguments& t) {
    return Columns::template one<Lanes256>(t, Columns::template two<Lanes256>(t, 0));
}

#include "kernels/requantize.inl"

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::avx2
