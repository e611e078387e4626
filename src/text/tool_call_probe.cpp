#include "text/tool_call_probe.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {

Json json_object(std::initializer_list<std::pair<std::string_view, Json>> members) {
  JsonObject out;
  for (const auto& [key, value] : members) out[key] = value;
  return out;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}
std::size_t common_suffix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend()).first - a.rbegin());
}

bool inside_tag(std::string_view text, std::size_t at) {
  const std::size_t open = text.substr(0, at).rfind('<');
  if (open == std::string_view::npos) return false;
  const std::string_view begun = text.substr(open, at - open);
  return begun.find_first_of("> \n") == std::string_view::npos && text.find('>', at) != std::string_view::npos;
}

namespace {

constexpr std::string_view kContent = "Qzcontent";

Json message(std::string_view role, const Json& content) { return json_object({{"role", role}, {"content", content}}); }

Json tools() {
  Json::Array all;
  for (const std::string_view name : kProbeNames) {
    const Json text = json_object({{"type", "string"}, {"description", "d"}});
    const Json parameters = json_object({{"type", "object"},
                                         {"properties", json_object({{kProbeKeys[0], text}, {kProbeKeys[1], text}})},
                                         {"required", Json::Array{}}});
    const Json function = json_object({{"name", name}, {"description", "d"}, {"parameters", parameters}});
    all.push_back(json_object({{"type", "function"}, {"function", function}}));
  }
  return all;
}

}  // namespace

ToolCallProbe::ToolCallProbe(const ChatTemplate& chat_template) : template_(chat_template), tools_(tools().dump()) {
  try {
    const Json user(Json::Array{message("user", "Qzuser")});
    prompt_ = template_.render(user.dump(), {.add_generation_prompt = true, .tools = tools_});
  } catch (const Error& error) {
    failure_ = error.what();
  }
}

std::optional<std::string> ToolCallProbe::render(const Json& assistant) {
  try {
    return template_.render(Json(Json::Array{message("user", "Qzuser"), assistant}).dump(), {.tools = tools_});
  } catch (const Error& error) {
    failure_ = error.what();
    return std::nullopt;
  }
}

std::optional<std::string> ToolCallProbe::render(std::size_t count, const Json& arguments) {
  Json::Array calls;
  for (std::size_t i = 0; i < count; ++i) {
    const Json given = as_text_ ? Json(arguments.dump()) : arguments;
    const Json function = json_object({{"name", kProbeNames[i]}, {"arguments", given}});
    calls.push_back(json_object({{"id", kProbeIds[i]}, {"type", "function"}, {"function", function}}));
  }
  Json assistant = message("assistant", content_);
  assistant.as_object()["tool_calls"] = std::move(calls);
  return render(assistant);
}

std::optional<ToolCallProbe::Body> ToolCallProbe::body(std::size_t count, const Json& arguments) {
  const auto plain = render(message("assistant", kContent));
  const auto text = render(count, arguments);
  if (!plain || !text) return std::nullopt;
  const std::size_t content = plain->find(kContent);
  if (content == std::string::npos) return std::nullopt;
  std::size_t begin = std::min(common_prefix(*text, *plain), content);  // tools are described before it
  if (text->starts_with(prompt_)) begin = std::max(begin, prompt_.size());
  if (text->find(kProbeNames[count - 1], begin) == std::string::npos) return std::nullopt;
  seen_ = true;
  while (begin > 0 && inside_tag(*text, begin)) --begin;
  const std::string_view behind = std::string_view(*plain).substr(content + kContent.size());
  std::size_t end = text->size() - std::min(common_suffix(*text, behind), text->size() - begin);
  while (end < text->size() && inside_tag(*text, end)) ++end;
  return Body{text->substr(begin, end - begin), text->substr(end)};
}

}  // namespace powerhouse
