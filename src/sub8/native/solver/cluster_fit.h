// Post-training quantisation's inner loop: one cluster of weights, one quadratic, every row by
// itself.
//
// For a row minimise x S x' - 2 b x' over x = alpha * q: alpha a whole multiple of `unit`, q
// integers in [-largest, largest]. Coordinate descent over q and refits of alpha take turns at real
// alphas; then both whole alphas next to the one found are descended from.
#pragma once

#include <cstdint>

namespace sub8::solver {

struct ClusterGrid {
    double largest;        // of the integers
    double unit;           // of the scales
    double largest_alpha;  // in units, at least 1
};

struct ClusterRows {
    std::int64_t groups;  // each with its own S
    std::int64_t rows;    // of a group
    std::int64_t columns;
    const double* s;  // [groups, columns, columns], symmetric, its diagonal positive
    const double* b;  // [groups, rows, columns]
    double* alpha;    // [groups, rows], in units; real where the fit starts, whole where it ends
    double* q;        // [groups, rows, columns]
};

// Fits every row, in parallel; what a row becomes depends on nothing but that row. With `keep` a
// row that would get no smaller loss stays as it is. Returns how many rows changed.
std::int64_t fit_clusters(const ClusterRows& problem, const ClusterGrid& grid, bool keep);

}  // namespace sub8::solver
