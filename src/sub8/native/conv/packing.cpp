#include "conv/packing.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <utility>

#include "conv/panel_codes.h"
#include "conv/select.h"
#include "numeric.h"

namespace sub8::conv {
namespace {

// Clusters (lower half, upper half) that the two halves of a slot belong to; -1: an empty half.
struct Scales {
    int low;
    int high;
    bool operator==(const Scales& other) const { return low == other.low && high == other.high; }
};

struct Order {
    kernels::Arithmetic arithmetic;
    RunLength run_length;
    kernels::SlotOrder slot_order;
    bool scaled = false;
    std::vector<Slot> slots = {};
    std::vector<Scales> scales = {};  // per slot
    std::vector<uint16_t> run_steps = {};
    std::vector<Scales> run_scales = {};
};

struct Channels {
    int count;    // virtual: inputs, times the kernel's columns where folded
    int cluster;  // N in virtual channels
    int taps;
    int clusters() const { return int(pieces(count, cluster)); }
};

// The integers of a term as lanes of K-steps see them.
struct Codes {
    const WeightShape& shape;
    const WeightTerm& term;
    bool folded;

    // Among an output's integers, pitch() where the lane holds no channel.
    int64_t place(const Slot& slot, int ky, int kx, int lane) const {
        const int channel = slot[lane];
        if (channel < 0) return pitch();
        const int i = folded ? channel % shape.inputs : channel;
        if (folded) kx = channel / shape.inputs;
        return (int64_t(i) * shape.kernel_h + ky) * shape.kernel_w + kx;
    }
    // From output to output.
    int64_t pitch() const { return int64_t(shape.inputs) * shape.kernel_h * shape.kernel_w; }
};

// The sum of codes of one sign up to which u8 * codes, summed in any order, fit int16.
constexpr int kLargestMagnitude = 32767 / 255;
// Runs that the largest codes keep shorter than this are cut by the codes that are really there.
constexpr int kEnoughSteps = 32;

// Where nothing limits a run, it should still fit a block.
constexpr int kLongRun = kBlockSteps;

void add_cluster(int cluster, const Channels& channels, Order* order) {
    const int begin = cluster * channels.cluster;
    const int end = std::min(begin + channels.cluster, channels.count);
    for (int i = begin; i < end; i += 4) {
        Slot slot;
        for (int lane = 0; lane < 4; ++lane) slot[lane] = i + lane < end ? i + lane : -1;
        order->slots.push_back(slot);
        order->scales.push_back({cluster, cluster});
    }
}

void add_cluster_pair(int cluster, const Channels& channels, Order* order) {
    const int begin = cluster * channels.cluster;
    for (int i = 0; i < channels.cluster; i += 2) {
        Slot slot;
        for (int lane = 0; lane < 4; ++lane) {
            const int within = i + lane % 2;
            const int channel = begin + (lane / 2) * channels.cluster + within;
            const bool real = within < channels.cluster && channel < channels.count;
            slot[lane] = real ? channel : -1;
        }
        order->slots.push_back(slot);
        order->scales.push_back({cluster, slot[2] >= 0 ? cluster + 1 : -1});
    }
}

void cut_runs(int cap, const Channels& channels, Order* order) {
    for (std::size_t begin = 0; begin < order->slots.size();) {
        std::size_t end = begin + 1;
        while (end < order->slots.size() && order->scales[end] == order->scales[begin]) ++end;
        const int steps = int(end - begin) * channels.taps;
        const int parts = int(pieces(steps, cap));
        for (int part = 0; part < parts; ++part) {
            const int length =
                int(int64_t(steps) * (part + 1) / parts - int64_t(steps) * part / parts);
            order->run_steps.push_back(uint16_t(length));
            order->run_scales.push_back(order->scales[begin]);
        }
        begin = end;
    }
}

// Runs as long as int16 holds the sums of every output, of all four lanes (`parts` 1) or of each
// half (2), for any activations: codes of one sign, times 255. Int4 codes of a trained layer allow
// runs several times as long as the largest codes would.
void cut_runs_by_codes(const Codes& codes, const Channels& channels, int parts, Order* order) {
    const int columns = codes.folded ? 1 : codes.shape.kernel_w;
    const int outputs = codes.shape.outputs;
    const std::vector<int8_t> values = codes.term.values.values();
    // [output][part][negative, positive]
    std::vector<int> magnitudes(std::size_t(outputs) * parts * 2, 0);
    std::vector<int> added(magnitudes.size());
    for (std::size_t s = 0; s < order->slots.size(); ++s) {
        const bool same_scales = s > 0 && order->scales[s] == order->scales[s - 1];
        for (int tap = 0; tap < channels.taps; ++tap) {
            std::fill(added.begin(), added.end(), 0);
            for (int lane = 0; lane < 4; ++lane) {
                const int64_t place =
                    codes.place(order->slots[s], tap / columns, tap % columns, lane);
                if (place == codes.pitch()) continue;
                const int8_t* code = values.data() + place;
                int* sums = added.data() + lane * parts / 4 * 2;
                for (int o = 0; o < outputs; ++o, code += codes.pitch(), sums += 2 * parts)
                    sums[*code > 0] += std::abs(int(*code));
            }
            bool fits = true;
            for (std::size_t i = 0; i < added.size(); ++i)
                fits = fits && magnitudes[i] + added[i] <= kLargestMagnitude;
            const bool goes_on = fits && (same_scales || tap > 0) && !order->run_steps.empty() &&
                                 order->run_steps.back() < kLongRun;
            if (goes_on) {
                ++order->run_steps.back();
                for (std::size_t i = 0; i < added.size(); ++i) magnitudes[i] += added[i];
            } else {
                order->run_steps.push_back(1);
                order->run_scales.push_back(order->scales[s]);
                magnitudes = added;
            }
        }
    }
}

// Runs whose sums int16 holds. cap: steps of the largest codes.
void cut_short_runs(const Codes& codes, const Channels& channels, int cap, int parts,
                    Order* order) {
    if (cap >= kEnoughSteps) {
        cut_runs(cap, channels, order);
    } else {
        cut_runs_by_codes(codes, channels, parts, order);
    }
}

Order order_runs16(const Codes& codes, const Channels& channels, bool paired) {
    Order order{kernels::Arithmetic::runs16, RunLength::any, kernels::SlotOrder::table};
    const int n = channels.cluster;
    const int clusters = channels.clusters();
    for (int cluster = 0; cluster < clusters; cluster += paired ? 2 : 1) {
        if (paired) {
            add_cluster_pair(cluster, channels, &order);
        } else {
            add_cluster(cluster, channels, &order);
        }
    }
    if (!paired && (n % 4 == 0 || clusters == 1)) order.slot_order = kernels::SlotOrder::contiguous;
    if (paired && n == 4 && channels.count % 8 == 0) order.slot_order = kernels::SlotOrder::paired4;
    if (paired && n % 16 == 0 && channels.count % (2 * n) == 0)
        order.slot_order = kernels::SlotOrder::paired_long;
    cut_short_runs(codes, channels, codes.term.values.format().largest_short_run(2), 2, &order);
    order.run_length = run_length_of(int64_t(order.slots.size()) * channels.taps, order.run_steps);
    return order;
}

Order order_wide16(const Channels& channels) {
    Order order{kernels::Arithmetic::wide16, RunLength::any, kernels::SlotOrder::wide};
    for (int i = 0; i < channels.count; i += 2) {
        const bool whole = i + 1 < channels.count;
        order.slots.push_back({i, whole ? i + 1 : -1, -1, -1});
        order.scales.push_back({i / channels.cluster, whole ? (i + 1) / channels.cluster : -1});
    }
    cut_runs(kLongRun, channels, &order);
    return order;
}

// Every scale is 1: no clusters to tell apart.
Order order_dot(const Channels& channels) {
    Order order{kernels::Arithmetic::dot, RunLength::any, kernels::SlotOrder::contiguous};
    const Channels one{channels.count, channels.count, channels.taps};
    add_cluster(0, one, &order);
    cut_runs(kLongRun, channels, &order);
    return order;
}

// Without runs yet.
Order order_dotruns(const Channels& channels, RunLength run_length) {
    Order order{kernels::Arithmetic::dotruns, run_length, kernels::SlotOrder::table};
    for (int cluster = 0; cluster < channels.clusters(); ++cluster)
        add_cluster(cluster, channels, &order);
    if (channels.cluster % 4 == 0 || channels.clusters() == 1)
        order.slot_order = kernels::SlotOrder::contiguous;
    return order;
}

Order order_long_dotruns(const Channels& channels) {
    Order order = order_dotruns(channels, RunLength::any);
    cut_runs(kLongRun, channels, &order);
    return order;
}

Order order_short_dotruns(const Codes& codes, const Channels& channels, int cap) {
    Order order = order_dotruns(channels, RunLength::few);
    cut_short_runs(codes, channels, cap, 1, &order);
    return order;
}

// The same steps; where the products of scales and codes fit int8 they need no runs.
Order order_scaled_dot(const Channels& channels) {
    Order order = order_long_dotruns(channels);
    order.arithmetic = kernels::Arithmetic::dot;
    order.scaled = true;
    return order;
}

int largest_scale(const WeightShape& shape, const WeightTerm& term) {
    const int64_t clusters = pieces(shape.inputs, term.cluster);
    return *std::max_element(term.alpha, term.alpha + shape.outputs * clusters);
}

bool has_unit_scales(const WeightShape& shape, const WeightTerm& term) {
    const int64_t clusters = pieces(shape.inputs, term.cluster);
    return std::all_of(term.alpha, term.alpha + shape.outputs * clusters,
                       [](uint8_t alpha) { return alpha == 1; });
}

// Every order that the kernels know for a term; of equally cheap ones the first is taken.
std::vector<Order> possible_orders(const kernels::KernelSet& kernels, const Codes& codes,
                                   const Channels& channels) {
    const WeightTerm& term = codes.term;
    if (kernels.has_dot()) {
        if (has_unit_scales(codes.shape, term)) return {order_dot(channels)};
        std::vector<Order> orders;
        const int cap = term.values.format().largest_short_run(4);
        if (cap > 0 && kernels.dotruns_short.rows > 0)
            orders.push_back(order_short_dotruns(codes, channels, cap));
        orders.push_back(order_long_dotruns(channels));
        if (term.values.format().expand_scaled != nullptr &&
            largest_scale(codes.shape, term) <= 127)
            orders.push_back(order_scaled_dot(channels));
        return orders;
    }
    std::vector<Order> orders = {order_wide16(channels)};
    if (kernels.runs16.rows == 0 || term.values.format().largest_short_run(2) == 0) return orders;
    orders.push_back(order_runs16(codes, channels, false));
    if (channels.clusters() > 1) orders.push_back(order_runs16(codes, channels, true));
    return orders;
}

Order choose_order(const kernels::KernelSet& kernels, const Codes& codes,
                   const Channels& channels) {
    std::vector<Order> orders = possible_orders(kernels, codes, channels);
    const auto cost = [&](const Order& order) {
        return accumulation_cost(order.arithmetic, order.run_length, order.scaled,
                                 int64_t(order.slots.size()) * channels.taps,
                                 int64_t(order.run_steps.size()));
    };
    return std::move(
        *std::min_element(orders.begin(), orders.end(),
                          [&](const Order& a, const Order& b) { return cost(a) < cost(b); }));
}

void add_blocks(int panel, Stream* stream) {
    const int runs = int(stream->run_steps.size());
    const int unit = stream->format->codes_per_byte();
    const int vectors_per_step = stream->lanes() / 2;
    int64_t offset = 0;
    int first_step = 0;
    for (int run = 0; run < runs;) {
        Block block{run, 0, first_step, 0, 0, offset};
        while (run < runs &&
               (block.runs == 0 || block.steps + stream->run_steps[run] <= kBlockSteps)) {
            block.steps += stream->run_steps[run];
            ++block.runs;
            ++run;
        }
        block.vectors = int(round_up(block.steps * vectors_per_step, unit));
        first_step += block.steps;
        offset += int64_t(block.vectors / unit) * 2 * panel;
        stream->blocks.push_back(block);
    }
    stream->panel_bytes = offset;
}

// Where the lanes of all K-steps find an output's integers among its own.
std::vector<int64_t> places_of(const Codes& codes, const Stream& stream) {
    std::vector<int64_t> places;
    places.reserve(stream.steps.size() * stream.lanes());
    for (const KStep& step : stream.steps) {
        for (int lane = 0; lane < stream.lanes(); ++lane) {
            places.push_back(codes.place(stream.slots[step.slot], step.ky, step.kx, lane));
        }
    }
    return places;
}

void unpack_codes(const weights::Format& format, const uint8_t* packed, int vectors, int width,
                  int8_t* codes) {
    const int unit = format.codes_per_byte();
    const int mask = (1 << format.bits) - 1;
    for (int vector = 0; vector < vectors; ++vector, codes += width) {
        const uint8_t* from = packed + int64_t(vector / unit) * width;
        const int shift = format.bits * (vector % unit);
        for (int b = 0; b < width; ++b)
            codes[b] = int8_t(((from[b] >> shift) & mask) - format.bias);
    }
}

}  // namespace

const uint8_t* Stream::packed(const Block& block, int64_t panel) const {
    return codes.data() + panel * panel_bytes + block.offset;
}

const int8_t* Stream::expanded(const kernels::KernelSet& kernels, const Block& block, int64_t panel,
                               int8_t* room) const {
    if (format->expand == nullptr) return reinterpret_cast<const int8_t*>(packed(block, panel));
    (kernels.*format->expand)(packed(block, panel), block.vectors, room);
    return room;
}

Stream make_stream(const kernels::KernelSet& kernels, const WeightShape& shape,
                   const WeightTerm& term, bool folded, int panels_per_group) {
    const int columns = folded ? shape.kernel_w : 1;
    const Channels channels{shape.inputs * columns, term.cluster * columns,
                            shape.kernel_h * (folded ? 1 : shape.kernel_w)};
    assert(!folded || term.cluster == shape.inputs);
    Stream stream;
    const Codes term_codes{shape, term, folded};
    Order order = choose_order(kernels, term_codes, channels);
    stream.format = &term.values.format();
    stream.arithmetic = order.arithmetic;
    stream.run_length = order.run_length;
    stream.slot_order = order.slot_order;
    stream.scaled = order.scaled;
    stream.cluster = channels.cluster;
    stream.shift_after = 0;
    stream.slots = std::move(order.slots);
    stream.run_steps = std::move(order.run_steps);
    for (int slot = 0; slot < int(stream.slots.size()); ++slot) {
        for (int ky = 0; ky < shape.kernel_h; ++ky) {
            for (int kx = 0; kx < (folded ? 1 : shape.kernel_w); ++kx)
                stream.steps.push_back({slot, ky, kx});
        }
    }
    stream.whole_slots = std::all_of(
        order.run_scales.begin(), order.run_scales.end(),
        [](const Scales& scales) { return scales.high < 0 || scales.high == scales.low; });
    add_blocks(kernels.panel, &stream);

    const int panel = kernels.panel;
    const int lanes = stream.lanes();
    const int runs = int(stream.run_steps.size());
    const int outputs = shape.outputs / shape.groups;
    const int clusters = int(pieces(shape.inputs, term.cluster));
    const int64_t panels = int64_t(shape.groups) * panels_per_group;
    stream.codes.assign(panels * stream.panel_bytes, 0);
    stream.alpha.assign(panels * runs * panel * 2, 0);
    const std::vector<int64_t> places = places_of(term_codes, stream);
    PanelCodes codes(term.values.format(), panel, term_codes.pitch());
    for (int64_t p = 0; p < panels; ++p) {
        const int group = int(p / panels_per_group);
        const int first = int(p % panels_per_group) * panel;
        const int valid = std::min(panel, outputs - first);
        codes.turn(term.values, int64_t(group) * outputs + first, valid);
        for (const Block& block : stream.blocks) {
            codes.store(places.data() + int64_t(block.first_step) * lanes, block.steps, lanes,
                        block.vectors, stream.codes.data() + p * stream.panel_bytes + block.offset);
        }
        for (int run = 0; run < runs; ++run) {
            const Scales scales = order.run_scales[run];
            for (int o = 0; o < valid; ++o) {
                const uint8_t* alpha =
                    term.alpha + (int64_t(group) * outputs + first + o) * clusters;
                uint8_t* to = stream.alpha.data() + ((p * runs + run) * panel + o) * 2;
                to[0] = alpha[scales.low];
                to[1] = scales.high >= 0 ? alpha[scales.high] : 0;
            }
        }
    }
    return stream;
}

std::vector<int8_t> unpack_stream(const kernels::KernelSet& kernels, const WeightShape& shape,
                                  const Stream& stream, bool folded) {
    const int panel = kernels.panel;
    const int outputs = shape.outputs / shape.groups;
    const int panels_per_group = int(pieces(outputs, panel));
    const int lanes = stream.lanes();
    const int64_t taps = int64_t(shape.kernel_h) * shape.kernel_w;
    const int64_t kernel_size = shape.inputs * taps;
    std::vector<int8_t> weights(std::size_t(shape.outputs * kernel_size), 0);
    std::vector<int8_t> codes;
    for (int64_t p = 0; p < int64_t(shape.groups) * panels_per_group; ++p) {
        const int first = int(p % panels_per_group) * panel;
        const int valid = std::min(panel, outputs - first);
        int8_t* const kernels_of_panel =
            weights.data() + (p / panels_per_group * outputs + first) * kernel_size;
        for (const Block& block : stream.blocks) {
            codes.resize(std::size_t(block.vectors) * 2 * panel);
            unpack_codes(*stream.format,
                         stream.codes.data() + p * stream.panel_bytes + block.offset, block.vectors,
                         2 * panel, codes.data());
            const int8_t* code = codes.data();
            for (int k = 0; k < block.steps; ++k, code += panel * lanes) {
                const KStep& step = stream.steps[block.first_step + k];
                for (int lane = 0; lane < lanes; ++lane) {
                    const int channel = stream.slots[step.slot][lane];
                    if (channel < 0) continue;
                    const int i = folded ? channel % shape.inputs : channel;
                    const int kx = folded ? channel / shape.inputs : step.kx;
                    int8_t* to = kernels_of_panel + i * taps + step.ky * shape.kernel_w + kx;
                    for (int o = 0; o < valid; ++o) to[o * kernel_size] = code[o * lanes + lane];
                }
            }
        }
    }
    return weights;
}

}  // namespace sub8::conv
