// Where the library's messages go. It never writes to stdout.
#pragma once

#include <functional>
#include <string_view>

#include "powerhouse/export.h"

namespace powerhouse {

enum class LogLevel { info, warning };

using LogSink = std::function<void(LogLevel, std::string_view)>;

/// Sends every message to `sink` instead of stderr; an empty sink silences the library. Safe from any thread.
POWERHOUSE_API void set_log_sink(LogSink sink);

/// Writes one message to the sink. Messages carry no trailing newline.
POWERHOUSE_API void log(LogLevel level, std::string_view message);

}  // namespace powerhouse
