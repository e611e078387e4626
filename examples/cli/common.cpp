#include "common.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace cli {

using powerhouse::Error;
using powerhouse::ErrorKind;

void ModelFlags::add(CLI::App& command, std::string_view default_dtype) {
  dtype = default_dtype;
  command.add_option("--model", model, "GGUF file or folder in Hugging Face layout")->required();
  command.add_option("--threads", threads, "threads; the physical cores by default")->check(CLI::Range(1, 1024));
  command.add_option("--device", device, "cpu or cuda[:N]")->capture_default_str();
  command.add_option("--dtype", dtype, "auto, f32, bf16 or f16")->capture_default_str();
}

powerhouse::CausalLM ModelFlags::load() const {
  if (threads > 0) powerhouse::set_threads(threads);
  return powerhouse::CausalLM::from_pretrained(
      model, {.dtype = powerhouse::parse_dtype(dtype), .device = powerhouse::parse_device(device)});
}

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

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(errno == ENOENT ? ErrorKind::not_found : ErrorKind::io, std::strerror(errno), {.file = path});
  }
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw Error(ErrorKind::io, "cannot read", {.file = path});
  return text;
}

std::vector<std::int64_t> parse_ids(const std::string& text) {
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
                  {.field = "--ids", .expected = "integers", .found = std::string(at, end).substr(0, 20)});
    }
    ids.push_back(id);
    at = next;
  }
}

void report_speed(const powerhouse::GenerationResult& result) {
  std::fprintf(stderr, "%lld prompt tokens, %.1f tokens/s; %zu new tokens, %.1f tokens/s\n",
               static_cast<long long>(result.prompt_tokens), result.prompt_tokens_per_second(), result.ids.size(),
               result.new_tokens_per_second());
}

}  // namespace cli
