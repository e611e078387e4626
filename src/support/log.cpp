// The log sink: stderr until someone sets another.
#include "powerhouse/log.h"

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "support/utf8.h"

namespace powerhouse {
namespace {

void write_to_stderr(LogLevel level, std::string_view message) {
  std::string line = level == LogLevel::warning ? "powerhouse: warning: " : "powerhouse: ";
  append_printable(line, message);  // names from untrusted files stand in it
  std::fprintf(stderr, "%s\n", line.c_str());
}

std::mutex sink_mutex;

std::shared_ptr<const LogSink>& current_sink() {
  static auto sink = std::make_shared<const LogSink>(write_to_stderr);
  return sink;
}

}  // namespace

void set_log_sink(LogSink sink) {
  auto next = std::make_shared<const LogSink>(std::move(sink));
  const std::lock_guard lock(sink_mutex);
  current_sink() = std::move(next);
}

void log(LogLevel level, std::string_view message) {
  std::shared_ptr<const LogSink> sink;
  {
    const std::lock_guard lock(sink_mutex);
    sink = current_sink();
  }
  if (*sink) (*sink)(level, message);
}

}  // namespace powerhouse
