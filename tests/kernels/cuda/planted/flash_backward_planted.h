// Which head size a planted program's backward kernels are compiled for.
#pragma once

namespace powerhouse::testing {

extern const int kPlantedHeadDim;

}  // namespace powerhouse::testing
