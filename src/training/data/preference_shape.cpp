// TRL's shapes, and Axolotl's two types over a chat template.
#include "training/data/preference_shape.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "training/data/chat_messages.h"
#include "training/data/columns.h"

namespace powerhouse::training {
namespace {

constexpr std::string_view kPreferenceTypes =
    "none (prompt, chosen, rejected; or prompt, completion, label), chat_template.default, chat_template.argilla_chat, "
    "or chatml or llama3 with .default, .argilla, .argilla_chat, .icr, .intel, .prompt_pairs, .ultra";

// Messages in a column of their own name.
ChatMessages messages_in(DatasetSource source, const std::string& name) {
  source.field_messages = name;
  source.field_system.clear();
  return ChatMessages(source);
}

std::optional<double> margin_column(const Json& columns) {
  const Json* const margin = columns.get("margin");
  if (margin == nullptr) return std::nullopt;
  if (margin->is_number()) return margin->as_double();
  throw Error(ErrorKind::format, "wrong type",
              {.field = "margin", .expected = "a number", .found = std::string(margin->type_name())});
}

// Where two texts or conversations part; of equal ones, or where one begins the other, the last place of the shorter
// (TRL), and they do not differ there.
struct Parting {
  std::size_t place = 0;
  bool differ = false;
};

template <typename Sequence, typename Equal>
Parting parting(const Sequence& a, const Sequence& b, Equal equal) {
  const std::size_t shorter = std::min(a.size(), b.size());
  std::size_t same = 0;
  while (same < shorter && equal(a[same], b[same])) ++same;
  return {same < shorter || same == 0 ? same : same - 1, same < shorter};
}

// TRL compares characters, not bytes; a blank in front belongs to the word behind it.
std::size_t common_text(const std::string& chosen, const std::string& rejected) {
  auto [at, differ] = parting(chosen, rejected, [](char a, char b) { return a == b; });
  while (at > 0 && at < chosen.size() && (static_cast<unsigned char>(chosen[at]) & 0xC0u) == 0x80u) --at;
  return differ && at > 0 && chosen[at - 1] == ' ' ? at - 1 : at;
}

std::size_t common_messages(const Json::Array& chosen, const Json::Array& rejected) {
  return parting(chosen, rejected, [](const Json& a, const Json& b) { return a.dump() == b.dump(); }).place;
}

class TrlPreference final : public PreferenceShape {
 public:
  explicit TrlPreference(const DatasetSource& source)
      : chosen_(source.field_chosen),
        rejected_(source.field_rejected),
        prompt_messages_(messages_in(source, "prompt")),
        chosen_messages_(messages_in(source, chosen_)),
        rejected_messages_(messages_in(source, rejected_)),
        completion_messages_(messages_in(source, "completion")) {}

  PreferenceRow read(const Json& columns) const override {
    PreferenceRow row;
    row.margin = margin_column(columns);
    const bool pair = columns.get(rejected_) != nullptr;
    if (!pair && columns.get("label") == nullptr && columns.get(chosen_) != nullptr) column(columns, rejected_);
    if (!pair) row.label = label_column(columns);
    const std::string first = pair ? chosen_ : "completion";
    if (column(columns, first).is_array()) {
      row.messages = pair ? pair_of_messages(columns) : labelled_messages(columns);
    } else {
      row.texts = texts(columns, pair);
    }
    return row;
  }

 private:
  PreferenceTexts texts(const Json& columns, bool pair) const {
    if (!pair) return {text_column(columns, "prompt"), {text_column(columns, "completion")}};
    const std::string &chosen = text_column(columns, chosen_), &rejected = text_column(columns, rejected_);
    if (columns.get("prompt") != nullptr) return {text_column(columns, "prompt"), {chosen, rejected}};
    const std::size_t at = common_text(chosen, rejected);
    return {chosen.substr(0, at), {chosen.substr(at), rejected.substr(at)}};
  }

  PreferenceMessages pair_of_messages(const Json& columns) const {
    Conversation chosen = chosen_messages_.read(columns), rejected = rejected_messages_.read(columns);
    PreferenceMessages out;
    out.tools = chosen.tools;
    if (columns.get("prompt") != nullptr) {
      out.prompt = prompt_messages_.read(columns).messages;
    } else {
      const auto at = static_cast<std::ptrdiff_t>(common_messages(chosen.messages, rejected.messages));
      out.prompt.assign(chosen.messages.begin(), chosen.messages.begin() + at);
      chosen.messages.erase(chosen.messages.begin(), chosen.messages.begin() + at);
      rejected.messages.erase(rejected.messages.begin(), rejected.messages.begin() + at);
    }
    out.completions = {std::move(chosen.messages), std::move(rejected.messages)};
    return out;
  }

  PreferenceMessages labelled_messages(const Json& columns) const {
    Conversation prompt = prompt_messages_.read(columns);
    return {std::move(prompt.messages), {completion_messages_.read(columns).messages}, std::move(prompt.tools)};
  }

  std::string chosen_, rejected_;
  ChatMessages prompt_messages_, chosen_messages_, rejected_messages_, completion_messages_;
};

// Axolotl's chat_template.default: the conversation before in field_messages, an answer in each of the two others, as a
// text, a message, or the last of several. argilla_chat: whole conversations in the two.
class AxolotlChat final : public PreferenceShape {
 public:
  AxolotlChat(const DatasetSource& source, bool whole)
      : source_(source), whole_(whole), prompt_(whole ? source.field_chosen : source.field_messages) {
    if (prompt_.empty()) prompt_ = "messages";
  }

  PreferenceRow read(const Json& columns) const override {
    PreferenceMessages messages;
    Json prompt = column(columns, prompt_);
    if (prompt.is_string() && !whole_) prompt = Json(Json::Array{message("user", prompt)});
    Conversation before = conversation(columns, prompt_, std::move(prompt));
    if (whole_) before.messages.pop_back();
    messages.prompt = std::move(before.messages);
    messages.tools = std::move(before.tools);
    for (const std::string& field : {source_.field_chosen, source_.field_rejected}) {
      messages.completions.push_back({answer(columns, field)});
    }
    PreferenceRow row;
    row.margin = margin_column(columns);
    row.messages = std::move(messages);
    row.completions_alone = true;
    return row;
  }

 private:
  // In the row's own keys.
  Json message(const std::string& role, const Json& content) const {
    const auto key = [&](const std::string& name) {
      for (const auto& [ours, theirs] : source_.message_property_mappings) {
        if (ours == name) return theirs;
      }
      return name;
    };
    JsonObject out;
    out[key("role")] = role;
    out[key("content")] = content;
    return Json(std::move(out));
  }

  Conversation conversation(const Json& columns, const std::string& field, Json messages) const {
    JsonObject own;
    own[field] = std::move(messages);
    if (const Json* tools = columns.get(source_.field_tools)) own[source_.field_tools] = *tools;
    return messages_in(source_, field).read(Json(std::move(own)));
  }

  Json answer(const Json& columns, const std::string& field) const {
    Json value = column(columns, field);
    if (value.is_string()) value = message("assistant", value);
    if (value.is_object()) value = Json(Json::Array{value});
    return conversation(columns, field, std::move(value)).messages.back();
  }

  DatasetSource source_;
  bool whole_;
  std::string prompt_;
};

}  // namespace

bool label_column(const Json& columns) {
  const Json& label = column(columns, "label");
  if (label.is_bool()) return label.as_bool();
  const std::string text = label.is_string() ? label.as_string() : label.dump();
  if (text == "1" || text == "true" || text == "True") return true;
  if (text == "0" || text == "false" || text == "False") return false;
  throw Error(ErrorKind::format, "wrong value", {.field = "label", .expected = "true or false", .found = text});
}

bool are_pairs(const Json& columns, const DatasetSource& source) {
  return columns.get(source.field_rejected) != nullptr || columns.get("rejected_response") != nullptr;
}

bool is_preference_type(const std::string& type) {
  return type == "passthrough.default" || type == "chat_template" || type == "chat_template.default" ||
         type == "chat_template.argilla_chat" || make_fixed_preference({.type = type}) != nullptr;
}

std::unique_ptr<PreferenceShape> make_preference_shape(const DatasetSource& source) {
  const std::string& type = source.type;
  if (type.empty() || type == "passthrough.default") return std::make_unique<TrlPreference>(source);
  if (type == "chat_template" || type == "chat_template.default") return std::make_unique<AxolotlChat>(source, false);
  if (type == "chat_template.argilla_chat") return std::make_unique<AxolotlChat>(source, true);
  if (auto fixed = make_fixed_preference(source)) return fixed;
  throw Error(ErrorKind::usage, "unknown type of preference data",
              {.file = source.path, .field = "type", .expected = std::string(kPreferenceTypes), .found = type});
}

}  // namespace powerhouse::training
