#include <nanobind/ndarray.h>

#include <algorithm>
#include <stdexcept>

#include "bindings/bindings.h"
#include "bindings/without_interpreter.h"
#include "solver/cluster_fit.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

template <typename Scalar, std::size_t Dimensions>
using Doubles = nb::ndarray<Scalar, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;

void fit(const Doubles<const double, 3>& s, const Doubles<const double, 3>& b,
         const Doubles<double, 2>& alpha, const Doubles<double, 3>& q, int largest, double unit,
         int largest_alpha) {
    const auto groups = b.shape(0), rows = b.shape(1), columns = b.shape(2);
    if (columns == 0 || s.shape(0) != groups || s.shape(1) != columns || s.shape(2) != columns ||
        alpha.shape(0) != groups || alpha.shape(1) != rows || q.shape(0) != groups ||
        q.shape(1) != rows || q.shape(2) != columns)
        throw std::invalid_argument("s [g, n, n], b [g, R, n], alpha [g, R], q [g, R, n] differ");
    solver::ClusterRows problem{};
    problem.groups = std::int64_t(groups);
    problem.rows = std::int64_t(rows);
    problem.columns = std::int64_t(columns);
    problem.s = s.data();
    problem.b = b.data();
    problem.alpha = alpha.data();
    problem.q = q.data();
    const solver::ClusterGrid grid{double(largest), unit, double(largest_alpha)};
    without_interpreter([&] { solver::fit_clusters(problem, grid); });
}

std::int64_t refine(const Doubles<const double, 3>& w, const Doubles<const double, 3>& h,
                    const Doubles<double, 3>& error, const Doubles<double, 3>& alpha,
                    const Doubles<double, 3>& q, const Doubles<double, 3>& pull,
                    std::int64_t cluster_size, std::int64_t first, std::int64_t last, int largest,
                    double unit, int largest_alpha) {
    const auto groups = w.shape(0), rows = w.shape(1), columns = w.shape(2);
    const auto rows_match = [&](const auto& x) {
        return x.shape(0) == groups && x.shape(1) == rows;
    };
    if (columns == 0 || h.shape(0) != groups || h.shape(1) != columns || h.shape(2) != columns ||
        !rows_match(error) || error.shape(2) != columns || !rows_match(q) ||
        q.shape(2) != columns || !rows_match(alpha) || !rows_match(pull))
        throw std::invalid_argument(
            "w, error, q [g, R, K], h [g, K, K], alpha [g, R, G], pull [g, R, n] differ");
    solver::ClusteredRows problem{};
    problem.groups = std::int64_t(groups);
    problem.rows = std::int64_t(rows);
    problem.columns = std::int64_t(columns);
    problem.size = cluster_size;
    problem.clusters = std::int64_t(alpha.shape(2));
    const bool stretch = cluster_size >= 1 && 0 <= first && first < last &&
                         last <= problem.clusters &&
                         problem.clusters == (problem.columns - 1) / cluster_size + 1;
    if (!stretch || std::int64_t(pull.shape(2)) !=
                        std::min(last * cluster_size, problem.columns) - first * cluster_size)
        throw std::invalid_argument("clusters first to last are not those of pull's columns");
    problem.w = w.data();
    problem.h = h.data();
    problem.error = error.data();
    problem.alpha = alpha.data();
    problem.q = q.data();
    const solver::ClusterGrid grid{double(largest), unit, double(largest_alpha)};
    std::int64_t changed = 0;
    without_interpreter(
        [&] { changed = solver::refine_clusters(problem, grid, first, last, pull.data()); });
    return changed;
}

}  // namespace

void bind_solver(nb::module_& m) {
    m.def("solved_exactly", &solver::solved_exactly, "largest"_a, "columns"_a,
          "Whether fit_clusters finds the best of all, wherever it starts.");
    m.def("fit_clusters", &fit, "s"_a, "b"_a, "alpha"_a.noconvert(), "q"_a.noconvert(), "largest"_a,
          "unit"_a, "largest_alpha"_a,
          "Fit rows of one cluster in place, float64: s [g, n, n], b [g, R, n], alpha [g, R] in "
          "units, q [g, R, n].");
    m.def("refine_clusters", &refine, "w"_a, "h"_a, "error"_a.noconvert(), "alpha"_a.noconvert(),
          "q"_a.noconvert(), "pull"_a.noconvert(), "cluster_size"_a, "first"_a, "last"_a,
          "largest"_a, "unit"_a, "largest_alpha"_a,
          "Refine the clusters first..last-1 of all rows in place, float64: w, error, q [g, R, K], "
          "h [g, K, K], alpha [g, R, G], pull [g, R, n]. Returns how many clusters changed.");
}

}  // namespace sub8::bindings
