#include "common.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace cli {

using powerhouse::Error;
using powerhouse::ErrorKind;

namespace {

// Far more than a model reads, far less than memory: an endless pipe must end in an error.
constexpr std::size_t kLargestText = std::size_t{1} << 30;

}  // namespace

void write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EPIPE) std::_Exit(0);
      throw Error(ErrorKind::io, std::string("cannot write: ") + std::strerror(errno), {.file = "stdout"});
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void end_text() {
  if (::isatty(STDOUT_FILENO) != 0) write_out("\n");
}

void refuse_flag(const char* what, const char* flag, const char* expected) {
  throw Error(ErrorKind::usage, what, {.field = flag, .expected = expected});
}

bool may_exist(const std::string& path) {
  return !path.empty() && (::access(path.c_str(), F_OK) == 0 || errno != ENOENT);
}

void check_place(const std::string& page, const std::string& flag) {
  if (page.empty()) return;
  const std::string folder = std::filesystem::path(page).parent_path().string();
  if (::access(folder.empty() ? "." : folder.c_str(), W_OK) == 0) return;
  throw Error(ErrorKind::io, "the page can't be written there",
              {.file = page, .field = flag, .found = std::strerror(errno)});
}

std::string read_file(const std::string& path) {
  const auto fail = [&path](int number) {
    throw Error(number == ENOENT ? ErrorKind::not_found : ErrorKind::io, std::strerror(number), {.file = path});
  };
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(errno);
  std::string text;
  std::vector<char> buffer(std::size_t{1} << 16);
  while (true) {
    const ssize_t count = ::read(file, buffer.data(), buffer.size());
    const int number = errno;
    if (count < 0 && number == EINTR) continue;
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
    if (count > 0 && text.size() <= kLargestText) continue;
    ::close(file);
    if (count < 0) fail(number);
    if (text.size() > kLargestText) {
      throw Error(ErrorKind::range, "the text is too long", {.file = path, .expected = "at most 1 GiB"});
    }
    return text;
  }
}

std::string chat_format_list() {
  std::string list;
  for (const std::string& name : powerhouse::chat_format_names()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

powerhouse::ChatTemplate load_chat_template(const std::string& name, const powerhouse::Tokenizer* tokenizer) {
  const std::string special = tokenizer == nullptr ? std::string() : tokenizer->special_tokens_json();
  const auto formats = powerhouse::chat_format_names();
  if (std::find(formats.begin(), formats.end(), name) != formats.end()) {
    return powerhouse::ChatTemplate::from_format(name, special);
  }
  if (::access(name.c_str(), F_OK) != 0) {
    throw Error(ErrorKind::not_found, "no such file and no such chat format",
                {.file = name, .expected = "a Jinja file, or one of " + chat_format_list()});
  }
  return from_source(name, [&] { return powerhouse::ChatTemplate(read_file(name), special); });
}

std::vector<std::int64_t> parse_ids(const std::string& text, const char* flag) {
  std::vector<std::int64_t> ids;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == ',')) ++at;
    if (at == end) return ids;
    std::int64_t id = 0;
    const auto [next, failure] = std::from_chars(at, end, id);
    if (failure != std::errc() || (next < end && *next != ' ' && *next != '\n' && *next != '\t' && *next != ',')) {
      throw Error(ErrorKind::usage, "not a token id",
                  {.field = flag, .expected = "integers", .found = std::string(at, end).substr(0, 20)});
    }
    ids.push_back(id);
    at = next;
  }
}

void report_speed(const powerhouse::GenerationResult& result) {
  const std::string reused =
      result.reused_tokens > 0 ? " (" + std::to_string(result.reused_tokens) + " from the cache)" : "";
  std::fprintf(stderr, "%lld prompt tokens%s, %.1f tokens/s; %zu new tokens, %.1f tokens/s\n",
               static_cast<long long>(result.prompt_tokens), reused.c_str(), result.prompt_tokens_per_second(),
               result.ids.size(), result.new_tokens_per_second());
}

}  // namespace cli
