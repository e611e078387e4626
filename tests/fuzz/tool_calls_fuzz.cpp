// Any bytes as what an assistant wrote, in the format of a template (the first byte says which): an Error with its place, or
// calls whose arguments are JSON objects and content that stands in the text.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "powerhouse/tool_calls.h"
#include "support/json.h"
#include "support/mapped_file.h"

namespace {

using namespace powerhouse;

constexpr const char* kTemplates[] = {"array", "bare", "lines", "named", "object", "tagged", "marked", "python"};
constexpr const char* kTools =
    R"([{"type": "function", "function": {"name": "find", "description": "d", "parameters": {"type": "object",)"
    R"( "properties": {"text": {"type": "string"}, "count": {"type": "integer"}, "exact": {"type": "boolean"},)"
    R"( "tags": {"type": "array", "items": {"type": "string"}}, "place": {"type": "object"}}}}}])";

std::vector<ToolCallFormat> all_formats() {
  std::vector<ToolCallFormat> formats;
  for (const char* name : kTemplates) {
    const std::string path = std::string(POWERHOUSE_FIXTURES) + "/text/tool_templates/" + name + ".jinja";
    formats.push_back(ToolCallFormat::from_template(ChatTemplate(read_text(path))));
  }
  return formats;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<ToolCallFormat> formats = all_formats();
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const ParsedMessage found = formats[data[0] % formats.size()].parse(text, data[0] >= 128 ? kTools : "");
    if (text.find(found.content) == std::string_view::npos && found.calls.empty()) std::abort();
    for (const ToolCall& call : found.calls) {
      if (call.name.empty() || !Json::parse(call.arguments, "arguments").is_object()) std::abort();
    }
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
