#include "powerhouse/version.h"

namespace powerhouse {

std::string_view version() noexcept { return POWERHOUSE_VERSION; }

}  // namespace powerhouse
