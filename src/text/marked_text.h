// MarkedText: a message that is read, and the marks in it. For who reads calls.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "text/tool_call_format.h"

namespace powerhouse {

class MarkedText {
 protected:
  static constexpr std::size_t kNone = std::string_view::npos;

  explicit MarkedText(std::string_view text, std::size_t at = 0) : text_(text), at_(at) {}

  [[noreturn]] void fail(const std::string& what, std::size_t at) const;
  std::size_t skip_blanks(std::size_t at) const;
  std::size_t skip_word(std::size_t at) const;
  /// The end of a mark that begins at `at`, blanks aside; kNone where there is none. Holes take what they are read as.
  std::size_t after(std::string_view mark, std::size_t at);

  std::string_view text_;
  std::size_t at_;    // behind what was read last
  std::string id_{};  // what the last hole for one was read as
};

/// Arguments between marks, from `at` on, which is set behind them, by the parameters of their tool where there are
/// any.
Json read_tagged_arguments(const ToolCallFormat::Impl& format, std::string_view text, std::size_t& at,
                           const Json& parameters);

}  // namespace powerhouse
