#include <nanobind/ndarray.h>

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

std::int64_t fit(const Doubles<const double, 3>& s, const Doubles<const double, 3>& b,
                 const Doubles<double, 2>& alpha, const Doubles<double, 3>& q, int largest,
                 double unit, int largest_alpha, bool keep) {
    const auto groups = b.shape(0), rows = b.shape(1), columns = b.shape(2);
    if (s.shape(0) != groups || s.shape(1) != columns || s.shape(2) != columns ||
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
    std::int64_t changed = 0;
    without_interpreter([&] { changed = solver::fit_clusters(problem, grid, keep); });
    return changed;
}

}  // namespace

void bind_solver(nb::module_& m) {
    m.def("fit_clusters", &fit, "s"_a, "b"_a, "alpha"_a.noconvert(), "q"_a.noconvert(), "largest"_a,
          "unit"_a, "largest_alpha"_a, "keep"_a,
          "Fit rows of one cluster in place, float64: s [g, n, n], b [g, R, n], alpha [g, R] in "
          "units, q [g, R, n]. Returns how many rows changed.");
}

}  // namespace sub8::bindings
