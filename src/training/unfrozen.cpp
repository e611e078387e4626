#include "training/unfrozen.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "powerhouse/error.h"
#include "text/regex.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(ErrorKind kind, std::string_view message, const std::string& pattern) {
  throw Error(kind, message, {.field = "unfrozen_parameters", .found = pattern});
}

bool is_range(const std::string& pattern) {
  const std::size_t open = pattern.rfind('[');
  if (open == std::string::npos || open == 0 || !pattern.ends_with(']')) return false;
  return pattern.find_first_not_of("0123456789:", open + 1) == pattern.size() - 1;
}

std::string with_plain_dots(const std::string& pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const bool quantified =
        i + 1 < pattern.size() && std::string_view("+*?{").find(pattern[i + 1]) != std::string_view::npos;
    if (pattern[i] == '.' && !quantified) out += '\\';
    out += pattern[i];
    if (pattern[i] == '\\' && i + 1 < pattern.size()) out += pattern[++i];
  }
  return out;
}

struct Pattern {
  std::string text;
  Regex regex;
  bool fits = false;

  explicit Pattern(const std::string& pattern) : text(pattern), regex("\\A(?:" + with_plain_dots(pattern) + ")") {}
  bool matches(const std::string& name) {
    const bool found = !regex.find_all(name).empty();
    fits = fits || found;
    return found;
  }
};

}  // namespace

void train_only(CausalLM& model, std::span<const std::string> patterns) {
  std::vector<std::unique_ptr<Pattern>> compiled;
  for (const std::string& pattern : patterns) {
    if (is_range(pattern)) refuse(ErrorKind::unsupported, "rows of a parameter do not train on their own", pattern);
    try {
      compiled.push_back(std::make_unique<Pattern>(pattern));
    } catch (const Error&) {
      refuse(ErrorKind::usage, "no regular expression", pattern);
    }
  }
  for (const auto& [name, tensor] : model.named_parameters()) {
    bool trains = false;
    for (const auto& pattern : compiled) {
      try {
        trains = pattern->matches(name) || trains;
      } catch (const Error&) {
        refuse(ErrorKind::usage, "a regular expression that runs away", pattern->text);
      }
    }
    at::Tensor parameter = tensor;
    parameter.set_requires_grad(trains);
  }
  for (const auto& pattern : compiled) {
    if (!pattern->fits) refuse(ErrorKind::not_found, "no parameter fits", pattern->text);
  }
}

}  // namespace powerhouse
