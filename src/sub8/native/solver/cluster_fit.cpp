#include "solver/cluster_fit.h"

#include <tbb/blocked_range.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>
#include <vector>

#include "executor/fork.h"
#include "executor/parallel.h"

namespace sub8::solver {
namespace {

constexpr int kRounds = 4;
constexpr int kSweeps = 2;

double clamp(double value, double low, double high) { return std::min(std::max(value, low), high); }

// Half to even. Without SSE4.1 std::rint is a call; |value| is below 2^51 here.
double round_even(double value) {
    constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52
    return (value + kShift) - kShift;
}

// Integers q and the product q S that belongs to them.
struct Point {
    std::vector<double> q;
    std::vector<double> product;

    explicit Point(std::size_t columns) : q(columns), product(columns) {}
};

class Row {
  public:
    Row(const double* s, const double* inverse, std::int64_t columns)
        : s_(s), inverse_(inverse), columns_(columns), point_(columns), below_(columns) {}

    // Whether (alpha, q) was replaced.
    bool fit(const double* b, const ClusterGrid& grid, bool keep, double* alpha, double* q) {
        b_ = b;
        std::copy_n(q, columns_, point_.q.begin());
        std::fill(point_.product.begin(), point_.product.end(), 0.0);
        for (std::int64_t j = 0; j < columns_; ++j)
            if (q[j] != 0) add(point_, j, q[j]);
        const double before = loss(point_, *alpha * grid.unit);
        double scale = std::max(*alpha, 0.5) * grid.unit;
        for (int round = 0; round < kRounds; ++round) {
            const bool moved = descend(point_, scale, grid.largest);
            const double refitted = best_scale(point_);
            const double next = refitted > 0 ? refitted : scale;
            // Nothing can move any more.
            if (!moved && next == scale) break;
            scale = next;
        }
        const double low = clamp(std::floor(scale / grid.unit), 1, grid.largest_alpha);
        const double high = clamp(low + 1, 1, grid.largest_alpha);
        below_ = point_;
        settle(below_, low * grid.unit, grid.largest);
        settle(point_, high * grid.unit, grid.largest);
        const double loss_low = loss(below_, low * grid.unit);
        const double loss_high = loss(point_, high * grid.unit);
        const bool lower = loss_low <= loss_high;
        if (keep && !((lower ? loss_low : loss_high) < before)) return false;
        *alpha = lower ? low : high;
        const Point& best = lower ? below_ : point_;
        std::copy_n(best.q.begin(), columns_, q);
        return true;
    }

  private:
    void add(Point& point, std::int64_t j, double change) const {
        const double* row = s_ + j * columns_;
        double* product = point.product.data();
        for (std::int64_t i = 0; i < columns_; ++i) product[i] += change * row[i];
    }

    // One sweep of coordinate descent at a fixed scale; whether any integer moved.
    bool descend(Point& point, double scale, double largest) const {
        const double per_scale = 1 / scale;
        bool moved = false;
        for (std::int64_t j = 0; j < columns_; ++j) {
            // The unconstrained optimum is b / scale - product off the diagonal, over the diagonal.
            const double step = (b_[j] * per_scale - point.product[j]) * inverse_[j];
            const double value = round_even(clamp(step + point.q[j], -largest, largest));
            if (value == point.q[j]) continue;
            const double change = value - point.q[j];
            point.q[j] = value;
            add(point, j, change);
            moved = true;
        }
        return moved;
    }

    void settle(Point& point, double scale, double largest) const {
        for (int sweep = 0; sweep < kSweeps && descend(point, scale, largest); ++sweep) {
        }
    }

    // q S q' and q b'.
    std::pair<double, double> terms(const Point& point) const {
        double curvature = 0, product = 0;
        for (std::int64_t j = 0; j < columns_; ++j) {
            curvature += point.q[j] * point.product[j];
            product += point.q[j] * b_[j];
        }
        return {curvature, product};
    }

    double loss(const Point& point, double scale) const {
        const auto [curvature, product] = terms(point);
        return scale * (scale * curvature - 2 * product);
    }

    // 0 where no positive scale fits.
    double best_scale(const Point& point) const {
        const auto [curvature, product] = terms(point);
        return curvature > 0 ? std::max(product, 0.0) / curvature : 0.0;
    }

    const double* s_;
    const double* inverse_;
    std::int64_t columns_;
    const double* b_ = nullptr;
    Point point_, below_;
};

}  // namespace

std::int64_t fit_clusters(const ClusterRows& problem, const ClusterGrid& grid, bool keep) {
    const std::int64_t columns = problem.columns;
    std::vector<double> inverse(problem.groups * columns);
    for (std::int64_t g = 0; g < problem.groups; ++g)
        for (std::int64_t j = 0; j < columns; ++j)
            inverse[g * columns + j] = 1 / problem.s[(g * columns + j) * columns + j];
    std::atomic<std::int64_t> changed{0};
    const tbb::blocked_range<std::int64_t> all(0, problem.groups * problem.rows, 4);
    const auto fit = [&](const tbb::blocked_range<std::int64_t>& range) {
        std::int64_t here = 0;
        for (std::int64_t r = range.begin(); r < range.end();) {
            const std::int64_t group = r / problem.rows;
            const std::int64_t stop = std::min(range.end(), (group + 1) * problem.rows);
            Row row(problem.s + group * columns * columns, &inverse[group * columns], columns);
            for (; r < stop; ++r)
                here += row.fit(problem.b + r * columns, grid, keep, problem.alpha + r,
                                problem.q + r * columns);
        }
        changed += here;
    };
    if (executor::may_use_threads()) {
        executor::parallel_for(all, fit);
    } else {
        fit(all);
    }
    return changed;
}

}  // namespace sub8::solver
