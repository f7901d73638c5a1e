// The plain forms that other instruction sets use for remainders and rare cases.
#pragma once

#include "kernels/kernels.h"

namespace sub8::scalar {

// Columns [first_column, columns) of a rescale.
void rescale(const RescaleArguments& arguments, int first_column, int columns);

// Part of SlotArguments' job; every slot order through its table.
void gather_slots(const SlotArguments& arguments, int first_slot, int last_slot, int first_position,
                  int last_position);

}  // namespace sub8::scalar
