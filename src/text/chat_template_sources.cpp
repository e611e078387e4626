// Where a ChatTemplate comes from: a text, a tokenizer's files, or a named format.
#include <algorithm>

#include "powerhouse/error.h"
#include "text/chat_formats.h"
#include "text/chat_inputs.h"
#include "text/chat_template_impl.h"
#include "text/jinja_parser.h"

namespace powerhouse {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}
std::string format_names() { return joined(chat_format_names()); }

}  // namespace

ChatTemplate::Impl::Compiled ChatTemplate::Impl::compile(std::string_view source) {
  if (source.size() > jinja::kMaxTemplateBytes) {
    throw Error(
        ErrorKind::range, "too large",
        {.field = "chat template", .expected = "at most 4 MiB", .found = std::to_string(source.size()) + " bytes"});
  }
  return {.source = std::string(source), .parsed = jinja::parse_template(jinja::normalize_source(source))};
}

const ChatTemplate::Impl::Compiled& ChatTemplate::Impl::choose(bool tools) const {
  const Compiled& chosen = tools && with_tools.parsed ? with_tools : main;
  if (!chosen.parsed) {
    throw Error(ErrorKind::not_found, "several chat templates and none is the default",
                {.field = "chat template", .expected = "one of " + names + ", by its name"});
  }
  return chosen;
}

ChatTemplate::ChatTemplate(std::string_view source, std::string_view special_tokens) {
  auto impl = std::make_shared<Impl>();
  impl->special_tokens = parse_chat_object(special_tokens, "special_tokens");
  impl->main = Impl::compile(source);
  impl_ = std::move(impl);
}

ChatTemplate ChatTemplate::from_tokenizer(const Tokenizer& tokenizer, std::string_view name) {
  const std::vector<std::string> known = tokenizer.chat_template_names();
  if (known.empty()) {
    throw Error(ErrorKind::not_found, "the tokenizer has no chat template",
                {.expected = "one in its files, or a named format: " + format_names()});
  }
  const std::string names = joined(known);
  const auto has = [&known](std::string_view wanted) {
    return std::find(known.begin(), known.end(), wanted) != known.end();
  };
  if (!name.empty()) {
    if (has(name)) return ChatTemplate(tokenizer.chat_template(name), tokenizer.special_tokens_json());
    throw Error(ErrorKind::not_found, "the tokenizer has no chat template of this name",
                {.field = "chat template", .expected = "one of " + names, .found = std::string(name)});
  }
  auto impl = std::make_shared<Impl>();
  impl->special_tokens = parse_chat_object(tokenizer.special_tokens_json(), "special_tokens");
  impl->names = names;
  if (has("default")) impl->main = Impl::compile(tokenizer.chat_template("default"));
  if (has("tool_use")) impl->with_tools = Impl::compile(tokenizer.chat_template("tool_use"));
  if (!impl->main.parsed && !impl->with_tools.parsed) impl->choose(false);  // throws
  return ChatTemplate(std::move(impl));
}

ChatTemplate ChatTemplate::from_format(std::string_view name, std::string_view special_tokens) {
  const ChatFormat* format = find_chat_format(name);
  if (format == nullptr) {
    throw Error(ErrorKind::not_found, "no chat format of this name",
                {.field = "chat format", .expected = "one of " + format_names(), .found = std::string(name)});
  }
  return ChatTemplate(format->source, special_tokens.empty() ? format->special_tokens : special_tokens);
}

}  // namespace powerhouse
