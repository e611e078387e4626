#include "model/tokenizer_files.h"

#include <algorithm>
#include <filesystem>

#include "formats/checkpoint.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/atomic_write.h"
#include "support/json.h"
#include "support/mapped_file.h"

namespace powerhouse {
namespace {

constexpr const char* kTokenizers[] = {"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"};
constexpr const char* kBeside[] = {"tokenizer_config.json", "special_tokens_map.json",
                                   "added_tokens.json",     "merges.txt",
                                   "chat_template.jinja",   "chat_template.json"};
constexpr const char* kTemplates = "additional_chat_templates";

template <std::size_t kCount>
bool is_one_of(const char* const (&names)[kCount], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_tokenizer(const std::filesystem::path& path) {
  return is_one_of(kTokenizers, path.filename().string()) || path.extension() == ".tiktoken";
}

std::vector<FolderFile> of_folder(const std::string& folder) {
  std::vector<FolderFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || (!is_tokenizer(entry.path()) && !is_one_of(kBeside, name))) continue;
    files.push_back({name, read_text(entry.path().string())});
  }
  const std::filesystem::path templates = std::filesystem::path(folder) / kTemplates;
  if (!std::filesystem::is_directory(templates)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(templates)) {
    if (entry.path().extension() != ".jinja") continue;
    files.push_back(
        {std::string(kTemplates) + "/" + entry.path().filename().string(), read_text(entry.path().string())});
  }
  return files;
}

// As transformers writes them. What has no file of settings gets one.
void name_roles(std::vector<FolderFile>& files, const std::vector<RoleToken>& roles) {
  if (files.empty() || roles.empty()) return;
  constexpr const char* kConfig = "tokenizer_config.json";
  if (std::none_of(files.begin(), files.end(), [&](const FolderFile& file) { return file.name == kConfig; })) {
    files.push_back({kConfig, "{}"});
  }
  for (FolderFile& file : files) {
    if (file.name != kConfig && file.name != "special_tokens_map.json") continue;
    Json json = Json::parse(file.text, file.name);
    for (const RoleToken& role : roles) json.as_object(file.name)[role.role] = role.token;
    file.text = json.dump(2) + "\n";
  }
}

std::vector<FolderFile> of_gguf(const std::string& origin, const ModelConfig& config) {
  const Checkpoint checkpoint = open_checkpoint(origin);
  const auto model = checkpoint.gguf->string("tokenizer.ggml.model");
  if (!model || *model == "none" || *model == "no_vocab") {
    log(LogLevel::warning, "no tokenizer is written: " + origin + " has none");
    return {};
  }
  try {
    return folder_tokenizer(*checkpoint.gguf, config.max_position_embeddings);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unsupported) throw;
    log(LogLevel::warning, std::string("no tokenizer is written: ") + error.what());
    return {};
  }
}

}  // namespace

bool has_folder_tokenizer(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) return false;
  const std::filesystem::directory_iterator entries(folder);
  return std::any_of(begin(entries), end(entries), [](const auto& entry) { return is_tokenizer(entry.path()); });
}

std::vector<FolderFile> tokenizer_files(const std::string& origin, const ModelConfig& config,
                                        const std::vector<RoleToken>& roles) {
  if (origin.empty()) return {};  // a model made from a config
  if (!std::filesystem::exists(origin)) {
    log(LogLevel::warning, "no tokenizer is written: " + origin + " is there no more");
    return {};
  }
  std::vector<FolderFile> files = std::filesystem::is_directory(origin) ? of_folder(origin) : of_gguf(origin, config);
  name_roles(files, roles);
  return files;
}

void write_files(const std::string& folder, const std::vector<FolderFile>& files) {
  for (const FolderFile& file : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / file.name;
    std::filesystem::create_directories(path.parent_path());
    write_atomically(path.string(), file.text);
  }
}

}  // namespace powerhouse
