// Tile kernels of 8-bit dot products, for instruction sets whose vectors of sums are their own: the
// including file defines, in an anonymous namespace, kPanel and
//
//     template <int rows> struct Tile { Activations, clear, read, write, step }
//
// of which step multiplies one K-step's activations and weights and adds them to the sums.
// Activations(t, a) are those of a tile from a on, and advance(pitch) to the next step.

template <typename Sums>
SUB8_INLINE void start_totals(const TileArguments& t, const int32_t* total, Sums& acc) {
    if (t.first) {
        acc.clear();
    } else {
        acc.read(total);
    }
}

// The way from step to step.
struct EvenSteps {
    ptrdiff_t pitch;
    SUB8_INLINE ptrdiff_t next() { return pitch; }
};
struct UnevenSteps {
    const int32_t* pitches;
    SUB8_INLINE ptrdiff_t next() { return *pitches++; }
};

// A step's weights take 4 * kPanel bytes.
template <typename Sums, typename Way>
SUB8_INLINE void sum_of_steps(const TileArguments& t, const uint8_t* a, int32_t* total, Way way) {
    const int8_t* w = static_cast<const int8_t*>(t.weights);
    Sums acc;
    start_totals(t, total, acc);
    typename Sums::Activations x(t, a);
    for (int k = 0; k < t.steps; ++k, x.advance(way.next()), w += 4 * kPanel) acc.step(x, w);
    acc.write(total);
}

template <int rows>
SUB8_INLINE void dot(const TileArguments& t, const uint8_t* a, int32_t* total) {
    if (t.pitches == nullptr) {
        sum_of_steps<Tile<rows>>(t, a, total, EvenSteps{t.pitch});
    } else {
        sum_of_steps<Tile<rows>>(t, a, total, UnevenSteps{t.pitches});
    }
}

// Calls run_done(sum, alpha) with the sums of every run.
template <int rows, typename Way, typename RunDone>
SUB8_INLINE void for_each_run_on(const TileArguments& t, const uint8_t* a, Way way,
                                 const RunDone& run_done) {
    const int8_t* w = static_cast<const int8_t*>(t.weights);
    const uint8_t* alpha = t.alpha;
    typename Tile<rows>::Activations x(t, a);
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        Tile<rows> sum;
        sum.clear();
        for (int k = t.run_steps[run]; k > 0; --k, x.advance(way.next()), w += 4 * kPanel)
            sum.step(x, w);
        run_done(sum, alpha);
    }
}

template <int rows, typename RunDone>
SUB8_INLINE void for_each_run(const TileArguments& t, const uint8_t* a, const RunDone& run_done) {
    if (t.pitches == nullptr) {
        for_each_run_on<rows>(t, a, EvenSteps{t.pitch}, run_done);
    } else {
        for_each_run_on<rows>(t, a, UnevenSteps{t.pitches}, run_done);
    }
}
