// How a layer is cut for several threads: by positions or by panels (conv/select.h).
#pragma once

#include <cstdint>

namespace sub8::conv {

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

}  // namespace sub8::conv
