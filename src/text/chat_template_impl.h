// What a ChatTemplate holds: one compiled template, or two where a tokenizer has one of its own for tools.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/chat.h"
#include "support/json.h"
#include "text/jinja_ast.h"

namespace powerhouse {

struct ChatTemplate::Impl {
  struct Compiled {
    std::string source;
    std::unique_ptr<const jinja::Template> parsed;  // null where there is none
  };
  struct Rendering {
    std::string text;
    std::vector<std::pair<std::size_t, std::size_t>> generations;  // in code points
  };

  Compiled main;
  Compiled with_tools;
  JsonObject special_tokens;
  std::string names;                // of the tokenizer's templates, for errors
  mutable std::atomic_flag warned;  // that it marks nothing of the assistant's

  static Compiled compile(std::string_view source);
  const Compiled& choose(bool tools) const;
  Rendering render(Json::Array messages, std::size_t message_bytes, const RenderOptions& options) const;
};

}  // namespace powerhouse
