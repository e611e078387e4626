// Bytes into an open file, and the Error of a system call.
#pragma once

#include <string>
#include <string_view>

namespace powerhouse {

/// Error{io} "cannot <verb>: <what errno says>".
[[noreturn]] void fail_io(const std::string& path, const char* verb);

/// All of it, or Error{io}; `path` is for the Error.
void write_all(int fd, std::string_view bytes, const std::string& path);

}  // namespace powerhouse
