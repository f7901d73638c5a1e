#include "solver/cluster_fit.h"

#include <tbb/blocked_range.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "executor/fork.h"
#include "executor/parallel.h"

namespace sub8::solver {
namespace {

constexpr int kRounds = 4;
constexpr int kSweeps = 2;
constexpr std::int64_t kMostTried = 6;  // columns of a cluster: (3^6 - 1) / 2 candidates

double clamp(double value, double low, double high) { return std::min(std::max(value, low), high); }

// Half to even. Without SSE4.1 std::rint is a call; |value| is below 2^51 here.
double round_even(double value) {
    constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52
    return (value + kShift) - kShift;
}

double loss_at(double scale, double curvature, double product) {
    return scale * (scale * curvature - 2 * product);
}

// All vectors of {-1, 0, 1}^columns but 0, one of each pair of opposites, [columns, count].
struct Candidates {
    std::int64_t count = 0;
    std::vector<double> values;

    explicit Candidates(std::int64_t columns) {
        std::int64_t all = 1;
        for (std::int64_t j = 0; j < columns; ++j) all *= 3;
        count = all / 2;
        values.resize(columns * count);
        for (std::int64_t t = 0; t < count; ++t)
            for (std::int64_t j = columns - 1, rest = all / 2 + 1 + t; j >= 0; --j, rest /= 3)
                values[j * count + t] = double(rest % 3 - 1);
    }

    static const Candidates& of(std::int64_t columns) {
        static const std::array<Candidates, kMostTried> all{Candidates(1), Candidates(2),
                                                            Candidates(3), Candidates(4),
                                                            Candidates(5), Candidates(6)};
        return all[columns - 1];
    }
};

// What all rows of a cluster share.
struct Quadratic {
    const double* s;
    std::int64_t stride;  // from row to row of s
    std::int64_t columns;
    const Candidates* candidates = nullptr;  // where it is solved exactly
    std::vector<double> curvature;           // t S t' of every candidate t
    std::vector<double> inverse;             // else: of the diagonal

    Quadratic(const double* s, std::int64_t stride, std::int64_t columns, const ClusterGrid& grid)
        : s(s), stride(stride), columns(columns) {
        if (!solved_exactly(grid.largest, columns)) {
            inverse.resize(columns);
            for (std::int64_t j = 0; j < columns; ++j) inverse[j] = 1 / s[j * stride + j];
            return;
        }
        candidates = &Candidates::of(columns);
        curvature.resize(candidates->count);
        for (std::int64_t t = 0; t < candidates->count; ++t)
            for (std::int64_t j = 0; j < columns; ++j)
                for (std::int64_t i = 0; i < columns; ++i)
                    curvature[t] += candidate(j, t) * s[j * stride + i] * candidate(i, t);
    }

    double candidate(std::int64_t column, std::int64_t t) const {
        return candidates->values[column * candidates->count + t];
    }

    // y += factor * S[j]
    void add_row(double* y, std::int64_t j, double factor) const {
        const double* row = s + j * stride;
        for (std::int64_t i = 0; i < columns; ++i) y[i] += factor * row[i];
    }
};

// Integers q and the product q S that belongs to them.
struct Point {
    std::vector<double> q;
    std::vector<double> product;

    void start(const Quadratic& problem, const double* from) {
        q.assign(from, from + problem.columns);
        product.assign(problem.columns, 0.0);
        for (std::int64_t j = 0; j < problem.columns; ++j)
            if (q[j] != 0) problem.add_row(product.data(), j, q[j]);
    }

    // q S q' and q b'.
    std::pair<double, double> terms(const double* b) const {
        double curvature = 0, linear = 0;
        for (std::size_t j = 0; j < q.size(); ++j) {
            curvature += q[j] * product[j];
            linear += q[j] * b[j];
        }
        return {curvature, linear};
    }

    double loss(const double* b, double scale) const {
        const auto [curvature, linear] = terms(b);
        return loss_at(scale, curvature, linear);
    }

    // 0 where no positive scale fits.
    double best_scale(const double* b) const {
        const auto [curvature, linear] = terms(b);
        return curvature > 0 ? std::max(linear, 0.0) / curvature : 0.0;
    }
};

// Fits rows one after the other; holds what it computes with.
class RowFit {
  public:
    explicit RowFit(const ClusterGrid& grid) : grid_(grid) {}

    // Whether (alpha, q) was replaced; with `keep` only by what has a smaller loss.
    bool operator()(const Quadratic& problem, const double* b, bool keep, double* alpha,
                    double* q) {
        return problem.candidates ? try_all(problem, b, keep, alpha, q)
                                  : descend_from(problem, b, keep, alpha, q);
    }

  private:
    bool try_all(const Quadratic& problem, const double* b, bool keep, double* alpha, double* q) {
        const std::int64_t count = problem.candidates->count;
        linear_.assign(count, 0.0);
        for (std::int64_t j = 0; j < problem.columns; ++j) {
            const double* column = &problem.candidates->values[j * count];
            for (std::int64_t t = 0; t < count; ++t) linear_[t] += b[j] * column[t];
        }
        std::int64_t best = 0;
        double least = std::numeric_limits<double>::infinity(), best_alpha = 1;
        for (std::int64_t t = 0; t < count; ++t) {
            const double magnitude = std::abs(linear_[t]), curvature = problem.curvature[t];
            const double tried =
                clamp(round_even(magnitude / (curvature * grid_.unit)), 1, grid_.largest_alpha);
            const double loss = loss_at(tried * grid_.unit, curvature, magnitude);
            if (loss < least) least = loss, best = t, best_alpha = tried;
        }
        // Where even the best loses against zero, the cluster stays empty.
        const double sign = least < 0 ? (linear_[best] < 0 ? -1.0 : 1.0) : 0.0;
        bool same = *alpha == best_alpha;
        for (std::int64_t j = 0; j < problem.columns; ++j)
            same = same && q[j] == sign * problem.candidate(j, best);
        if (same) return false;
        if (keep) {
            point_.start(problem, q);
            if (!(std::min(least, 0.0) < point_.loss(b, *alpha * grid_.unit))) return false;
        }
        *alpha = best_alpha;
        for (std::int64_t j = 0; j < problem.columns; ++j) q[j] = sign * problem.candidate(j, best);
        return true;
    }

    bool descend_from(const Quadratic& problem, const double* b, bool keep, double* alpha,
                      double* q) {
        point_.start(problem, q);
        const double before = point_.loss(b, *alpha * grid_.unit);
        double scale = std::max(*alpha, 0.5) * grid_.unit;
        for (int round = 0; round < kRounds; ++round) {
            const bool moved = descend(problem, b, point_, scale);
            const double refitted = point_.best_scale(b);
            const double next = refitted > 0 ? refitted : scale;
            // Nothing can move any more.
            if (!moved && next == scale) break;
            scale = next;
        }
        const double low = clamp(std::floor(scale / grid_.unit), 1, grid_.largest_alpha);
        const double high = clamp(low + 1, 1, grid_.largest_alpha);
        below_ = point_;
        settle(problem, b, below_, low * grid_.unit);
        settle(problem, b, point_, high * grid_.unit);
        const double loss_low = below_.loss(b, low * grid_.unit);
        const double loss_high = point_.loss(b, high * grid_.unit);
        const bool lower = loss_low <= loss_high;
        if (keep && !((lower ? loss_low : loss_high) < before)) return false;
        *alpha = lower ? low : high;
        const Point& best = lower ? below_ : point_;
        std::copy(best.q.begin(), best.q.end(), q);
        return true;
    }

    // One sweep of coordinate descent at a fixed scale; whether any integer moved.
    bool descend(const Quadratic& problem, const double* b, Point& point, double scale) const {
        const double per_scale = 1 / scale;
        bool moved = false;
        for (std::int64_t j = 0; j < problem.columns; ++j) {
            // The unconstrained optimum is b / scale - product off the diagonal, over the diagonal.
            const double step = (b[j] * per_scale - point.product[j]) * problem.inverse[j];
            const double value =
                round_even(clamp(step + point.q[j], -grid_.largest, grid_.largest));
            if (value == point.q[j]) continue;
            const double change = value - point.q[j];
            point.q[j] = value;
            problem.add_row(point.product.data(), j, change);
            moved = true;
        }
        return moved;
    }

    void settle(const Quadratic& problem, const double* b, Point& point, double scale) const {
        for (int sweep = 0; sweep < kSweeps && descend(problem, b, point, scale); ++sweep) {
        }
    }

    ClusterGrid grid_;
    Point point_, below_;
    std::vector<double> linear_;  // t b' of every candidate t
};

// Calls body(first, last, number of the group) for stretches of all rows, in parallel.
template <typename Body>
void for_rows(std::int64_t groups, std::int64_t rows, const Body& body) {
    const tbb::blocked_range<std::int64_t> all(0, groups * rows, 4);
    const auto each = [&](const tbb::blocked_range<std::int64_t>& range) {
        for (std::int64_t r = range.begin(); r < range.end();) {
            const std::int64_t group = r / rows;
            const std::int64_t stop = std::min(range.end(), (group + 1) * rows);
            body(r, stop, group);
            r = stop;
        }
    };
    if (executor::may_use_threads()) {
        executor::parallel_for(all, each);
    } else {
        each(all);
    }
}

}  // namespace

bool solved_exactly(double largest, std::int64_t columns) {
    return largest == 1 && columns <= kMostTried;
}

void fit_clusters(const ClusterRows& problem, const ClusterGrid& grid) {
    const std::int64_t columns = problem.columns;
    std::vector<Quadratic> quadratics;
    for (std::int64_t g = 0; g < problem.groups; ++g)
        quadratics.emplace_back(problem.s + g * columns * columns, columns, columns, grid);
    for_rows(problem.groups, problem.rows,
             [&](std::int64_t first, std::int64_t last, std::int64_t group) {
                 RowFit fit(grid);
                 for (std::int64_t r = first; r < last; ++r)
                     fit(quadratics[group], problem.b + r * columns, false, problem.alpha + r,
                         problem.q + r * columns);
             });
}

std::int64_t refine_clusters(const ClusteredRows& problem, const ClusterGrid& grid,
                             std::int64_t first, std::int64_t last, double* pull) {
    const std::int64_t columns = problem.columns;
    const std::int64_t begin = first * problem.size;
    const std::int64_t end = std::min(last * problem.size, columns);
    std::vector<Quadratic> quadratics;  // cluster by cluster of each group
    for (std::int64_t g = 0; g < problem.groups; ++g)
        for (std::int64_t at = begin; at < end; at += problem.size)
            quadratics.emplace_back(problem.h + (g * columns + at) * columns + at, columns,
                                    std::min(problem.size, end - at), grid);
    std::atomic<std::int64_t> changed{0};
    const auto refine = [&](std::int64_t from, std::int64_t to, std::int64_t group) {
        RowFit fit(grid);
        std::vector<double> x, linear;
        std::int64_t here = 0;
        for (std::int64_t r = from; r < to; ++r) {
            double* row_pull = pull + r * (end - begin) - begin;
            for (std::int64_t c = first; c < last; ++c) {
                const Quadratic& cluster = quadratics[group * (last - first) + c - first];
                const std::int64_t at = c * problem.size, stop = at + cluster.columns;
                double* alpha = problem.alpha + r * problem.clusters + c;
                double* q = problem.q + r * columns;
                x.resize(cluster.columns);
                linear.assign(cluster.columns, 0.0);
                for (std::int64_t j = at; j < stop; ++j) {
                    x[j - at] = *alpha * grid.unit * q[j];
                    if (x[j - at] != 0) cluster.add_row(linear.data(), j - at, x[j - at]);
                }
                for (std::int64_t j = at; j < stop; ++j) linear[j - at] += row_pull[j];
                if (!fit(cluster, linear.data(), true, alpha, q + at)) continue;
                ++here;
                for (std::int64_t j = at; j < stop; ++j) {
                    const double now = *alpha * grid.unit * q[j];
                    problem.error[r * columns + j] = problem.w[r * columns + j] - now;
                    x[j - at] -= now;
                }
                const double* h = problem.h + group * columns * columns;
                for (std::int64_t i = stop; i < end; ++i) {
                    double sum = 0;
                    for (std::int64_t j = at; j < stop; ++j) sum += x[j - at] * h[j * columns + i];
                    row_pull[i] += sum;
                }
            }
        }
        changed += here;
    };
    for_rows(problem.groups, problem.rows, refine);
    return changed;
}

}  // namespace sub8::solver
