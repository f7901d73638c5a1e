// Every choice among ways to compute the same, and every cost that decides one: which kernel runs
// which layer, and why.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "conv/convolution.h"
#include "conv/dense_weights.h"
#include "conv/share.h"
#include "conv/winograd_tiling.h"

namespace sub8::conv {

// How a term's K-steps are accumulated: conv/packing.cpp takes the cheapest of the orders that it
// can make. The relative time of so many steps in so many runs.
double accumulation_cost(kernels::Arithmetic arithmetic, RunLength run_length, bool scaled,
                         int64_t steps, int64_t runs);
// Which of runs16's kernels suits such runs.
RunLength run_length_of(int64_t steps, const std::vector<uint16_t>& run_steps);

// Which kernels take a stream.
const kernels::TileKernels& tile_kernels(const kernels::KernelSet& kernels, const Stream& stream);
// For one position, with weights straight from their packed form; null where there is none.
decltype(kernels::RowKernel::run) row_kernel(const kernels::KernelSet& kernels,
                                             const Stream& stream);
// Layers of at most so many positions go row by row, where all their streams have such a kernel.
constexpr int64_t kMostRows = 2;
// Into how many shares such a layer of so many packed bytes is best cut.
int row_shares(int64_t packed_bytes, int threads);

// How a layer is cut for threads: splitting by panels repeats the inputs, splitting by units
// repeats the weights.
Effort direct_effort(int64_t steps, int positions_per_unit, int64_t slots_per_unit);
Effort winograd_effort(const WinogradTiling& tiling, const kernels::KernelSet& kernels);
Share cut_share(int64_t units, int64_t panels, const Effort& effort, int share, int shares);

// Which algorithm a layer takes. Below so many vector instructions transforms are faster than
// direct products.
double winograd_budget(const DenseWeights& weights, const ConvGeometry& geometry);
// Vector instructions of a layer in a form, transforms of the weights included.
double winograd_cost(const WinogradTiling& tiling, const DenseWeights& weights);
// How many positions of a layer of few outputs are best made at once (conv/side_by_side.h); 1: as
// it is.
int count_side_by_side(const DenseWeights& weights, const ConvGeometry& geometry);
std::unique_ptr<const Convolution> select_algorithm(std::shared_ptr<const PreparedLayer> layer,
                                                    const ConvGeometry& geometry);

}  // namespace sub8::conv
