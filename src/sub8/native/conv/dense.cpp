// The driver of convolutions and linear layers.
//
// A thread's share is a range of output positions or a range of panels. Within it, for every chunk
// of positions (whose strip fits the second-level cache) and every panel of outputs, each block of
// K-steps is expanded once and passes over all tiles of the chunk; the last block's tiles go
// straight on to their requantisation.
#include "conv/dense.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "conv/dense_weights.h"
#include "conv/scratch.h"
#include "conv/select.h"
#include "conv/strip.h"
#include "conv/tiling.h"

namespace sub8::conv {
namespace {

// Once so many positions have their accumulators, they are requantised together.
constexpr int kRequantizedRows = 24;

class DenseConvolution : public Convolution {
  public:
    DenseConvolution(std::shared_ptr<const PreparedLayer> prepared, const ConvGeometry& geometry)
        : Convolution(std::move(prepared)),
          weights_(static_cast<const DenseWeights&>(layer().weights())),
          kernels_(weights_.kernels()),
          plan_(kernels_, weights_.shape(), weights_.streams(), weights_.folded(), geometry,
                layer().input(), layer().stored()) {
        int64_t vectors = 0, steps = 0, runs = 0, runs_of_two = 0;
        bool wide = false;
        for (const Stream& stream : weights_.streams()) {
            for (const Block& block : stream.blocks) {
                vectors = std::max<int64_t>(vectors, block.vectors);
                if (stream.run_length == RunLength::two)
                    runs_of_two = std::max<int64_t>(runs_of_two, block.runs);
            }
            wide = wide || stream.arithmetic == kernels::Arithmetic::wide16;
            steps += int64_t(stream.steps.size());
            runs += int64_t(stream.run_steps.size());
            row_kernels_.push_back(row_kernel(kernels_, stream));
            row_blocks_.push_back(joined_blocks(stream));
        }
        const int64_t chunk = int64_t(plan_.units_per_chunk()) * plan_.positions_per_unit();
        bytes_.codes = aligned(vectors * 2 * kernels_.panel);
        bytes_.wide = wide ? 2 * bytes_.codes : 0;
        bytes_.alpha = aligned(runs_of_two * 2 * kernels_.panel * int64_t(sizeof(int16_t)));
        by_rows_ = plan_.units() * plan_.positions_per_unit() <= kMostRows &&
                   std::all_of(row_kernels_.begin(), row_kernels_.end(),
                               [](const auto& kernel) { return kernel != nullptr; });
        one_strip_ =
            by_rows_ && weights_.shape().groups == 1 && plan_.chunk_limit(0) >= plan_.units();
        bytes_.rows = aligned(kMostRows * steps * int64_t(sizeof(uint32_t)));
        bytes_.corrections = aligned(kMostRows * runs * int64_t(sizeof(int32_t)));
        bytes_.acc = aligned(chunk * kernels_.panel * int64_t(sizeof(int32_t)));
    }

    std::string algorithm() const override { return "direct"; }

    std::size_t scratch_bytes(int) const override {
        return std::size_t(bytes_.codes + bytes_.wide + bytes_.alpha + bytes_.acc + bytes_.rows +
                           bytes_.corrections + aligned(int64_t(plan_.bytes())));
    }

    // One row is over in less time than a sleeping thread takes to wake: shares are so small that
    // the first thread goes on alone until others come and help with the rest.
    int shares(int threads) const override {
        if (!by_rows_) return threads;
        int64_t bytes = 0;
        for (const Stream& stream : weights_.streams()) bytes += int64_t(stream.codes.size());
        return row_shares(bytes, threads);
    }

    void run_share(const Operands& operands, Scratch memory, int share, int shares,
                   bool again) const override {
        Work work;
        work.codes = memory.take<int8_t>(bytes_.codes);
        work.wide = memory.take<int16_t>(bytes_.wide);
        work.alpha = memory.take<int16_t>(bytes_.alpha);
        work.acc = memory.take<int32_t>(bytes_.acc);
        work.rows = memory.take<uint32_t>(bytes_.rows);
        work.corrections = memory.take<int32_t>(bytes_.corrections);
        work.strip = memory.take<uint8_t>(int64_t(plan_.bytes()));
        work.operands = operands;
        const Share part = share_of(share, shares);
        const int panels_per_group = weights_.panels_per_group();
        for (int64_t unit = part.first_unit; unit < part.end_unit;) {
            work.unit = unit;
            work.units = int(std::min(plan_.chunk_limit(unit), part.end_unit) - unit);
            for (int64_t panel = part.first_panel; panel < part.end_panel;) {
                const int group = int(panel / panels_per_group);
                const int64_t end =
                    std::min<int64_t>(part.end_panel, int64_t(group + 1) * panels_per_group);
                if (!(again && one_strip_)) {
                    plan_.build(operands.input, group, unit, work.units, work.strip);
                    if (by_rows_) order_activations(work, group);
                }
                for (; panel < end; ++panel) {
                    if (by_rows_)
                        run_rows(work, group, panel);
                    else
                        run_panel(work, group, panel);
                }
            }
            unit += work.units;
        }
    }

  private:
    struct Work {
        int64_t unit;
        int units;
        int8_t* codes;
        int16_t* wide;
        int16_t* alpha;
        int32_t* acc;
        uint32_t* rows;
        int32_t* corrections;
        uint8_t* strip;
        Operands operands;
    };

    int positions_of(const Work& work) const { return work.units * plan_.positions_per_unit(); }

    Share share_of(int share, int shares) const {
        const int64_t panels = int64_t(weights_.shape().groups) * weights_.panels_per_group();
        if (by_rows_) return share_by_panels(plan_.units(), panels, share, shares);
        int64_t steps = 0;
        for (const Stream& stream : weights_.streams()) steps += int64_t(stream.steps.size());
        const Effort effort =
            direct_effort(steps, plan_.positions_per_unit(), plan_.slots_per_unit());
        return cut_share(plan_.units(), panels, effort, share, shares);
    }

    // Expanded weights of one block and panel.
    const void* expand(const Stream& stream, const Block& block, int64_t panel,
                       const uint8_t* alpha, const Work& work) const {
        const uint16_t* run_steps = stream.run_steps.data() + block.first_run;
        if (stream.scaled) {
            (kernels_.*stream.format->expand_scaled)(stream.packed(block, panel), alpha, run_steps,
                                                     block.runs, work.codes);
            return work.codes;
        }
        const int8_t* codes = stream.expanded(kernels_, block, panel, work.codes);
        if (stream.arithmetic == kernels::Arithmetic::wide16) {
            kernels_.widen(codes, alpha, run_steps, block.runs, work.wide);
            return work.wide;
        }
        return codes;
    }

    // Weights that kernels will read as they are stored: they come from far away while what is
    // there is worked with.
    struct Coming {
        const uint8_t* from;
        int64_t bytes;

        // A part of so many.
        void fetch(int part, int parts) const {
            for (int64_t line = lines() * part / parts; line < lines() * (part + 1) / parts; ++line)
                __builtin_prefetch(from + line * kCacheLine, 0, kToSecondLevel);
        }
        int64_t lines() const { return bytes / kCacheLine; }
        static constexpr int kToSecondLevel = 2;
    };

    // The block behind one, where it is large enough to be worth it.
    Coming behind(const Stream& stream, const Block& block, int64_t panel) const {
        const Block* next = &block + 1;
        if (&block == &stream.blocks.back()) {
            next = stream.blocks.data();
            ++panel;
        }
        const int64_t panels = int64_t(weights_.shape().groups) * weights_.panels_per_group();
        if (stream.format->expand != nullptr || panel == panels || next->steps < kBlockSteps / 4)
            return {nullptr, 0};
        return {stream.packed(*next, panel), int64_t(next->vectors) * 2 * kernels_.panel};
    }

    void run_panel(const Work& work, int group, int64_t panel) const {
        const std::vector<Stream>& streams = weights_.streams();
        const int width = kernels_.panel;
        const int first = int(panel - int64_t(group) * weights_.panels_per_group()) * width;
        const int columns = std::min(width, weights_.outputs_per_group() - first);
        const int output = group * weights_.outputs_per_group() + first;
        const Lines lines = plan_.lines(work.units);
        const bool single = streams.size() == 1 && streams[0].blocks.size() == 1;
        const int64_t first_position = work.unit * plan_.positions_per_unit();

        for (std::size_t index = 0; index < streams.size(); ++index) {
            const Stream& stream = streams[index];
            const kernels::TileKernels& tiles = tile_kernels(kernels_, stream);
            for (const Block& block : stream.blocks) {
                const bool first_pass = index == 0 && &block == &stream.blocks.front();
                const bool end_of_stream = &block == &stream.blocks.back();
                const bool last_pass = end_of_stream && index + 1 == streams.size();
                const uint8_t* alpha =
                    stream.alpha.data() +
                    (panel * int64_t(stream.run_steps.size()) + block.first_run) * width * 2;
                kernels::TileArguments tile;
                tile.weights = expand(stream, block, panel, alpha, work);
                tile.pitch = plan_.pitch();
                tile.row_pitch = plan_.row_pitch();
                tile.pitches = plan_.pitches(int(index), block.first_step);
                tile.alpha = alpha;
                tile.wide_alpha = work.alpha;
                if (stream.run_length == RunLength::two)
                    std::copy_n(alpha, int64_t(block.runs) * 2 * width, work.alpha);
                tile.run_steps = stream.run_steps.data() + block.first_run;
                tile.runs = block.runs;
                tile.steps = block.steps;
                tile.first = first_pass;
                int64_t position = 0;  // within the chunk
                int64_t finished = 0;  // positions that have been requantised
                const Coming coming = behind(stream, block, panel);
                for (int line = 0; line < lines.count(); ++line) {
                    coming.fetch(line, lines.count());
                    tile.activations = plan_.line_start(work.operands.input, work.strip, group,
                                                        work.unit, lines, line) +
                                       plan_.place(int(index), block.first_step);
                    for_each_tile(lines.length(line), tiles.rows, [&](int rows, int count) {
                        tile.tiles = count;
                        tile.acc = work.acc + (single ? position - finished : position) * width;
                        tiles.of[rows](tile);
                        const int done = count * rows;
                        if (end_of_stream && stream.shift_after > 0) {
                            shift_left(tile.acc, done * width, stream.shift_after);
                        }
                        tile.activations += tile.row_pitch * done;
                        position += done;
                    });
                    const bool last_line = line + 1 == lines.count();
                    if (last_pass && (last_line || position - finished >= kRequantizedRows)) {
                        const int32_t* acc = work.acc + (single ? 0 : finished) * width;
                        layer().requantize().apply(acc, width, int(position - finished), columns,
                                                   output, first_position + finished,
                                                   work.operands.residual, work.operands.output);
                        finished = position;
                    }
                }
            }
        }
    }

    // One or two positions: weights are unpacked anew for each.
    void run_rows(const Work& work, int group, int64_t panel) const {
        const int width = kernels_.panel;
        const int first = int(panel - int64_t(group) * weights_.panels_per_group()) * width;
        const int columns = std::min(width, weights_.outputs_per_group() - first);
        const int output = group * weights_.outputs_per_group() + first;
        const int positions = positions_of(work);
        const uint32_t* activations = work.rows;
        const int32_t* corrections = work.corrections;
        for (std::size_t index = 0; index < weights_.streams().size(); ++index) {
            const Stream& stream = weights_.streams()[index];
            const int64_t runs = int64_t(stream.run_steps.size());
            for (int position = 0; position < positions; ++position) {
                kernels::RowArguments row;
                row.acc = work.acc + position * width;
                for (const Block& block : row_blocks_[index]) {
                    row.activations =
                        reinterpret_cast<const uint8_t*>(activations + block.first_step);
                    row.packed = stream.codes.data() + panel * stream.panel_bytes + block.offset;
                    row.alpha = stream.alpha.data() + (panel * runs + block.first_run) * width * 2;
                    row.run_steps = stream.run_steps.data() + block.first_run;
                    row.runs = block.runs;
                    row.corrections = corrections + block.first_run;
                    row.first = index == 0 && block.first_step == 0;
                    row_kernels_[index](row);
                }
                if (stream.shift_after > 0) shift_left(row.acc, width, stream.shift_after);
                activations += stream.steps.size();
                corrections += runs;
            }
        }
        layer().requantize().apply(work.acc, width, positions, columns, output,
                                   work.unit * plan_.positions_per_unit(), work.operands.residual,
                                   work.operands.output);
    }

    // Rows need no room for expanded weights, so that blocks with no padding between them are one.
    static std::vector<Block> joined_blocks(const Stream& stream) {
        std::vector<Block> joined;
        bool padded = true;
        for (const Block& block : stream.blocks) {
            if (padded) {
                joined.push_back(block);
            } else {
                joined.back().runs += block.runs;
                joined.back().steps += block.steps;
                joined.back().vectors += block.vectors;
            }
            padded = block.vectors != block.steps * stream.lanes() / 2;
        }
        return joined;
    }

    // What run_rows reads, per stream and position: the activations in the order of the steps, and
    // per run what RowArguments::corrections says.
    void order_activations(const Work& work, int group) const {
        const Lines lines = plan_.lines(work.units);
        uint32_t* row = work.rows;
        int32_t* corrections = work.corrections;
        for (std::size_t index = 0; index < weights_.streams().size(); ++index) {
            const Stream& stream = weights_.streams()[index];
            for (int line = 0; line < lines.count(); ++line) {
                const uint8_t* position = plan_.line_start(work.operands.input, work.strip, group,
                                                           work.unit, lines, line);
                for (int p = 0; p < lines.length(line); ++p, position += plan_.row_pitch()) {
                    const uint32_t* from = row;
                    for (std::size_t step = 0; step < stream.steps.size(); ++step)
                        std::memcpy(row++, position + plan_.place(int(index), int(step)), 4);
                    for (uint16_t steps : stream.run_steps) {
                        *corrections++ = minus_sum(from, steps, stream.arithmetic);
                        from += steps;
                    }
                }
            }
        }
    }

    static int32_t minus_sum(const uint32_t* slots, int count, kernels::Arithmetic arithmetic) {
        uint32_t lower = 0, upper = 0;
        for (int k = 0; k < count; ++k) {
            const uint32_t halves = (slots[k] & 0x00ff00ffu) + (slots[k] >> 8 & 0x00ff00ffu);
            lower += halves & 0xffffu;
            upper += halves >> 16;
        }
        const bool apart = arithmetic == kernels::Arithmetic::runs16;
        return int32_t(apart ? (-lower & 0xffffu) | -upper << 16 : -(lower + upper));
    }

    static void shift_left(int32_t* acc, int count, int shift) {
        for (int i = 0; i < count; ++i) acc[i] = int32_t(uint32_t(acc[i]) << shift);
    }

    const DenseWeights& weights_;
    const kernels::KernelSet& kernels_;
    StripPlan plan_;
    std::vector<decltype(kernels::RowKernel::run)>
        row_kernels_;                             // of each stream; null where there is none
    std::vector<std::vector<Block>> row_blocks_;  // the same
    bool by_rows_;
    bool one_strip_;  // by rows, and all shares read the same
    struct {
        int64_t codes, wide, alpha, acc, rows, corrections;
    } bytes_;  // of scratch
};

}  // namespace

std::unique_ptr<const Convolution> make_dense(std::shared_ptr<const PreparedLayer> layer,
                                              const ConvGeometry& geometry) {
    return std::make_unique<DenseConvolution>(std::move(layer), geometry);
}

}  // namespace sub8::conv
