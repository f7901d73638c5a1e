// How a layer is cut for several threads: by positions or by panels.
#pragma once

#include <cstdint>

namespace sub8 {

// What one thread does: units [first_unit, end_unit) times panels [first_panel, end_panel).
struct Share {
    int64_t first_unit;
    int64_t end_unit;
    int64_t first_panel;
    int64_t end_panel;
};

// Relative efforts.
struct Effort {
    double both;   // per unit and panel
    double unit;   // per unit, by every thread that works on it: arranging its inputs
    double panel;  // per panel, likewise: expanding its weights
};

inline Share share_by_panels(int64_t units, int64_t panels, int share, int shares) {
    return {0, units, panels * share / shares, panels * (share + 1) / shares};
}

// What splitting by panels takes besides: a thread that keeps to its units finds much of what it
// reads in the cache of its own core, where it wrote it in the layer before.
constexpr double kInputsFromOthers = 1.05;

// Splitting by panels repeats the inputs, splitting by units repeats the weights.
inline Share cut_share(int64_t units, int64_t panels, const Effort& effort, int share, int shares) {
    const double panel_share = double((panels + shares - 1) / shares);
    const double unit_share = double((units + shares - 1) / shares);
    const double by_panels =
        panel_share * (effort.both * double(units) + effort.panel) + effort.unit * double(units);
    const double by_units =
        unit_share * (effort.both * double(panels) + effort.unit) + effort.panel * double(panels);
    if (kInputsFromOthers * by_panels < by_units)
        return share_by_panels(units, panels, share, shares);
    return {units * share / shares, units * (share + 1) / shares, 0, panels};
}

}  // namespace sub8
