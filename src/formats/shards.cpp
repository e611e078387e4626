#include "formats/shards.h"

#include <unordered_map>

#include "powerhouse/error.h"
#include "support/json.h"
#include "support/mapped_file.h"

namespace powerhouse {

std::vector<TensorView> read_shards(const std::string& folder, const char* index_name,
                                    const std::function<std::vector<TensorView>(const std::string& path)>& read,
                                    std::vector<std::string>* missing) {
  const std::string index_path = folder + "/" + index_name;
  const auto fail = [&](const std::string& tensor, const char* message, const std::string& file) {
    throw Error(ErrorKind::format, message, {.file = index_path, .field = tensor, .found = file});
  };
  const Json index = Json::parse_file(index_path);
  std::unordered_map<std::string, std::unordered_map<std::string, TensorView>> shards;
  std::vector<TensorView> tensors;
  try {
    for (const auto& [name, shard] : index.at("weight_map").as_object("weight_map")) {
      const std::string& file = shard.as_string(name);
      if (file.empty() || file.find('/') != std::string::npos || file == ".." || file.find('\0') != std::string::npos) {
        fail(name, "a shard must be a file of this folder", file);
      }
      auto [opened, fresh] = shards.try_emplace(file);
      std::string path = folder;
      path.append("/").append(file);
      const bool absent = missing != nullptr && !may_exist(path);
      if (fresh && absent) missing->push_back(file);
      if (absent) continue;
      if (fresh) {
        for (TensorView& view : read(path)) opened->second.emplace(view.name, view);
      }
      const auto place = opened->second.find(name);
      if (place == opened->second.end()) fail(name, "the shard has no such tensor", file);
      tensors.push_back(place->second);
    }
  } catch (const Error& error) {
    throw error.in_file(index_path);
  }
  return tensors;
}

}  // namespace powerhouse
