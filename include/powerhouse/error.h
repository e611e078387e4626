// The one exception type of the library.
//
// Every failure that a caller can cause or meet (bad input, a missing file, a full disk, a shape that does not fit)
// is an Error that names the file and the field it is about. `what()` is one line that a program can show as it is.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "powerhouse/export.h"

namespace powerhouse {

/// What went wrong, coarse enough to act upon.
enum class ErrorKind {
  usage,        ///< the caller asked for something that makes no sense (a bad option, a wrong shape)
  not_found,    ///< a file, tensor, token or name that is not there
  format,       ///< a file that breaks its own format
  unsupported,  ///< valid, but not built here (an unknown architecture, tensor type, template function)
  range,        ///< a number outside its bounds (a token id, a context length)
  io,           ///< the operating system refused (permission, disk full, a broken pipe)
  memory,       ///< an allocation that failed, or would be out of proportion
  device,       ///< a device that is absent or failed
  numeric,      ///< NaN or infinity where a number is needed
  cancelled,    ///< a std::stop_token asked to stop
};

/// The lower-case name of a kind, e.g. "not_found".
POWERHOUSE_API std::string_view to_string(ErrorKind kind) noexcept;

/// Where an error happened and what was seen there. Every field may be empty.
struct ErrorDetails {
  std::string file{};      ///< the file or folder
  std::string field{};     ///< the key, tensor, flag or argument
  std::string expected{};  ///< what would have been right
  std::string found{};     ///< what was there
};

/// Thrown by every function of the library that can fail.
///
///     try { auto model = powerhouse::CausalLM::from_pretrained("model.gguf"); }
///     catch (const powerhouse::Error& error) { std::cerr << error.what() << '\n'; }
class POWERHOUSE_API Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view message, ErrorDetails details = {});
  Error(const Error&);
  Error& operator=(const Error&);
  ~Error() override;  // out of line, so that the type has one home and is caught across the shared library

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& file() const noexcept { return details_.file; }
  const std::string& field() const noexcept { return details_.field; }
  const std::string& expected() const noexcept { return details_.expected; }
  const std::string& found() const noexcept { return details_.found; }

  /// The same error with `file` filled in where it was empty: for callers that know the file a parser was fed from.
  Error in_file(std::string_view file) const;

 private:
  ErrorKind kind_;
  std::string message_;
  ErrorDetails details_;
};

}  // namespace powerhouse
