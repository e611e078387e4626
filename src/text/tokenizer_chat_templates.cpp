// The chat templates that a tokenizer's files carry, in every place and form in which they have been stored.
#include <algorithm>
#include <filesystem>

#include "powerhouse/error.h"
#include "support/mapped_file.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"

namespace powerhouse {
namespace {

constexpr std::size_t kMaxBytes = 1 << 24;

// NAME.jinja of a folder, in the order of their names.
void read_folder(Tokenizer::Impl& tokenizer, const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) tokenizer.set_chat_template(file.stem().string(), read_text(file.string(), kMaxBytes));
}

}  // namespace

void Tokenizer::Impl::set_chat_template(std::string_view name, std::string source) {
  const auto same = [name](const auto& entry) { return entry.first == name; };
  const auto found = std::find_if(chat_templates.begin(), chat_templates.end(), same);
  if (found != chat_templates.end()) {
    found->second = std::move(source);
  } else {
    chat_templates.emplace_back(name, std::move(source));
  }
}

const std::string* Tokenizer::Impl::find_chat_template(std::string_view name) const {
  for (const auto& [known, source] : chat_templates) {
    if (known == name) return &source;
  }
  return nullptr;
}

std::string Tokenizer::chat_template(std::string_view name) const {
  const std::string* found = impl_->find_chat_template(name);
  return found == nullptr ? std::string() : *found;
}

std::vector<std::string> Tokenizer::chat_template_names() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : impl_->chat_templates) {
    if (!source.empty()) names.push_back(name);
  }
  return names;
}

void read_chat_templates(Tokenizer::Impl& tokenizer, const Json& config) {
  const Json* value = config.get("chat_template");
  if (value == nullptr) return;
  tokenizer.chat_templates.clear();
  if (value->is_string()) return tokenizer.set_chat_template("default", value->as_string());
  if (value->is_object()) {
    for (const auto& [name, source] : value->as_object()) {
      tokenizer.set_chat_template(name, source.as_string("chat_template." + name));
    }
    return;
  }
  for (const Json& entry : value->as_array("chat_template")) {
    tokenizer.set_chat_template(entry.at("name").as_string("chat_template.name"),
                                entry.at("template").as_string("chat_template.template"));
  }
}

void read_chat_template_files(Tokenizer::Impl& tokenizer, const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path root(folder);
  const auto from_config = std::exchange(tokenizer.chat_templates, {});
  std::error_code ignored;
  if (const fs::path file = root / "chat_template.jinja"; fs::exists(file, ignored)) {
    tokenizer.set_chat_template("default", read_text(file.string(), kMaxBytes));
  }
  for (const char* name : {"chat_templates", "additional_chat_templates"}) read_folder(tokenizer, root / name);
  if (!tokenizer.chat_templates.empty()) return;
  tokenizer.chat_templates = from_config;
  const std::string legacy = (root / "chat_template.json").string();
  if (!tokenizer.chat_templates.empty() || !fs::exists(legacy, ignored)) return;
  try {
    read_chat_templates(tokenizer, Json::parse_file(legacy, kMaxBytes));
  } catch (const Error& error) {
    throw error.in_file(legacy);
  }
}

}  // namespace powerhouse
