// The sixteen levels of IQ4_NL and IQ4_XS, by code. `static`: see float16.h.
#pragma once

#include <cstdint>

namespace powerhouse {

static constexpr std::int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace powerhouse
