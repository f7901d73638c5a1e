// Post-training quantisation's inner loop: clusters of weights, one quadratic each, every row by
// itself.
//
// For a row minimise x S x' - 2 b x' over x = alpha * q: alpha a whole multiple of `unit`, q
// integers in [-largest, largest]. Small ternary clusters are solved exactly, by trying every q
// with its best whole alpha. For others coordinate descent over q and refits of alpha take turns at
// real alphas; then both whole alphas next to the one found are descended from.
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

// Whether `fit_clusters` finds the best of all, wherever it starts.
bool solved_exactly(double largest, std::int64_t columns);

// Fits every row, in parallel; what a row becomes depends on nothing but that row.
void fit_clusters(const ClusterRows& problem, const ClusterGrid& grid);

// Clusters of weights w, approximated by x, under the loss (w - x) H (w - x)'.
struct ClusteredRows {
    std::int64_t groups;
    std::int64_t rows;
    std::int64_t columns;   // K
    std::int64_t size;      // of a cluster, in columns; the last may be smaller
    std::int64_t clusters;  // G
    const double* w;        // [groups, rows, K]
    const double* h;        // [groups, K, K]
    double* error;          // [groups, rows, K]: w - x
    double* alpha;          // [groups, rows, G], in units
    double* q;              // [groups, rows, K]
};

// Goes once through the clusters first..last-1, one after the other, all others fixed, and replaces
// those whose loss becomes smaller. pull: error H of their columns, [groups, rows, columns of
// theirs]; it is kept current for clusters still to come. Returns how many clusters changed.
std::int64_t refine_clusters(const ClusteredRows& problem, const ClusterGrid& grid,
                             std::int64_t first, std::int64_t last, double* pull);

}  // namespace sub8::solver
