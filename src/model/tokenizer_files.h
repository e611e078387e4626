// The tokenizer that belongs to a checkpoint, carried into the folder that a model is saved to.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/model_config.h"
#include "text/folder_tokenizer.h"

namespace powerhouse {

/// Whether a folder has a tokenizer, of whatever kind; what is no tokenizer says so when it is read.
bool has_folder_tokenizer(const std::string& folder);

/// A token that a role ("eos_token") has now instead of the one that the files name.
struct RoleToken {
  std::string role, token;
  std::int64_t id = 0;
};

/// The files that a folder written from `origin`, a folder or a GGUF file, needs for its tokenizer and chat templates.
/// A GGUF file's tokenizer that has no form there is a warning that says why, and gives none.
std::vector<FolderFile> tokenizer_files(const std::string& origin, const ModelConfig& config,
                                        const std::vector<RoleToken>& roles = {});

/// Writes them, each atomically.
void write_files(const std::string& folder, const std::vector<FolderFile>& files);

}  // namespace powerhouse
