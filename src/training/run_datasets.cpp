// The entries of `datasets`: Axolotl's keys onto DatasetSource.
#include <algorithm>
#include <array>
#include <filesystem>

#include "training/data/preference_shape.h"
#include "training/run_config.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

using Source = DatasetSource;

struct Entry {
  Source source{};
  std::string split = "train";
  std::vector<std::string> data_files{};
  std::string role_field{}, content_field{}, jinja{};
};

struct EntryKey {
  std::string_view name;
  void (*read)(Entry& entry, const YamlValue& value, const std::string& field);
};

template <std::string Source::*member>
void read_text_member(Entry& entry, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) entry.source.*member = yaml_string(value, field);
}

template <std::string Entry::*member>
void read_entry_text(Entry& entry, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) entry.*member = yaml_string(value, field);
}

void read_type(Entry& entry, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind == YamlValue::Kind::mapping) {
    throw Error(ErrorKind::unsupported, "a prompt format of one's own is not built",
                {.file = value.place, .field = field, .expected = "a name, or messages and a chat_template"});
  }
  constexpr std::array types{"alpaca", "sharegpt", "chat_template", "input_output", "completion", "prompt_completion"};
  const std::string& name = yaml_string(value, field);
  // Which of them fit a run is known once all its keys are: run_checks.cpp.
  if (std::find(types.begin(), types.end(), name) == types.end() && !training::is_preference_type(name)) {
    throw Error(ErrorKind::unsupported, "no such type of data here",
                {.file = value.place,
                 .field = field,
                 .expected = "alpaca, sharegpt, chat_template, input_output, completion or prompt_completion; with rl "
                             "chat_template.default, chat_template.argilla_chat, chatml.* or llama3.*",
                 .found = name});
  }
  entry.source.type = name;
}

void read_format(Entry& entry, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  const std::string& name = yaml_string(value, field);
  // Hugging Face's "json" reads both; told by the file's name there too.
  if (name != "json" && name != "jsonl" && name != "csv" && name != "text") {
    throw Error(ErrorKind::unsupported, "no such kind of file here",
                {.file = value.place, .field = field, .expected = "json, jsonl, csv or text", .found = name});
  }
  entry.source.format = name;
}

void read_mappings(Entry& entry, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind != YamlValue::Kind::mapping) throw wrong_value(value, field, "a mapping of the template's keys");
  for (const auto& [key, name] : value.members) {
    entry.source.message_property_mappings.emplace_back(key, yaml_string(name, field + "." + key));
  }
}

void read_roles(Entry& entry, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind != YamlValue::Kind::mapping) throw wrong_value(value, field, "a mapping of roles to lists of names");
  for (const auto& [role, names] : value.members) {
    entry.source.roles.emplace_back(role, yaml_strings(names, field + "." + role));
  }
}

void read_roles_to_train(Entry& entry, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) entry.source.roles_to_train = yaml_strings(value, field);
}

void read_train_on_eos(Entry& entry, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  const std::string& word = yaml_string(value, field);
  if (word == "turn" || word == "all" || word == "last" || word == "none") {
    entry.source.train_on_eos = word == "turn"   ? TrainOnEos::turn
                                : word == "all"  ? TrainOnEos::all
                                : word == "last" ? TrainOnEos::last
                                                 : TrainOnEos::none;
    return;
  }
  throw wrong_value(value, field, "turn, all, last or none");
}

void read_data_files(Entry& entry, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) entry.data_files = yaml_strings(value, field);
}

constexpr EntryKey kKeys[] = {
    {"path", read_text_member<&Source::path>},
    {"data_files", read_data_files},
    {"ds_type", read_format},
    {"type", read_type},
    {"split", read_entry_text<&Entry::split>},
    {"field", read_text_member<&Source::field>},
    {"field_messages", read_text_member<&Source::field_messages>},
    {"field_chosen", read_text_member<&Source::field_chosen>},
    {"field_rejected", read_text_member<&Source::field_rejected>},
    {"field_label", read_text_member<&Source::field_label>},
    {"field_tools", read_text_member<&Source::field_tools>},
    {"field_system", read_text_member<&Source::field_system>},
    {"message_property_mappings", read_mappings},
    {"message_field_role", read_entry_text<&Entry::role_field>},
    {"message_field_content", read_entry_text<&Entry::content_field>},
    {"message_field_training", read_text_member<&Source::message_field_training>},
    {"roles", read_roles},
    {"roles_to_train", read_roles_to_train},
    {"train_on_eos", read_train_on_eos},
    {"chat_template", read_text_member<&Source::chat_template>},
    {"chat_template_jinja", read_entry_text<&Entry::jinja>},
};

constexpr std::string_view kSourceKeysWithoutEffect[] = {"trust_remote_code", "preprocess_shards"};
constexpr std::string_view kUnsupportedSourceKeys[] = {"name",
                                                       "revision",
                                                       "shards",
                                                       "shards_idx",
                                                       "conversation",
                                                       "input_transform",
                                                       "input_format",
                                                       "field_human",
                                                       "field_model",
                                                       "field_thinking",
                                                       "template_thinking_key",
                                                       "split_thinking",
                                                       "message_field_training_detail",
                                                       "train_on_eot",
                                                       "drop_system_message",
                                                       "logprobs_field",
                                                       "temperature",
                                                       "text_column",
                                                       "skip"};

void read_entry_key(Entry& entry, std::string_view key, const YamlValue& value, const std::string& field) {
  for (const EntryKey& known : kKeys) {
    if (known.name == key) return known.read(entry, value, field);
  }
  const auto is_one_of = [&](const auto& keys) {
    return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
  };
  if (is_one_of(kSourceKeysWithoutEffect)) return;
  if (is_one_of(kUnsupportedSourceKeys)) {
    if (!yaml_truthy(value)) return;
    throw Error(ErrorKind::unsupported, "not supported",
                {.file = value.place, .field = field, .found = yaml_shown(value)});
  }
  std::vector<std::string_view> names;
  for (const EntryKey& known : kKeys) names.push_back(known.name);
  names.insert(names.end(), std::begin(kUnsupportedSourceKeys), std::end(kUnsupportedSourceKeys));
  throw Error(value.fault, "unknown key", {.file = value.place, .field = field, .expected = nearest_key(key, names)});
}

// A folder holds a file a split, as Hugging Face's data sets do: train.jsonl, test.jsonl.
std::string file_of_split(const std::string& folder, const std::string& split, const YamlValue& value) {
  for (const char* extension : {".jsonl", ".json", ".csv", ".txt"}) {
    const fs::path file = fs::path(folder) / (split + extension);
    if (std::error_code ignored; fs::is_regular_file(file, ignored)) return file.string();
  }
  throw Error(ErrorKind::not_found, "the folder has no file of that split",
              {.file = value.place, .field = folder, .expected = split + ".jsonl, .json, .csv or .txt"});
}

void add_entry(Entry entry, const YamlValue& value, const std::string& field, std::vector<Source>& sources) {
  Source& source = entry.source;
  if (!entry.role_field.empty()) source.message_property_mappings.emplace_back("role", entry.role_field);
  if (!entry.content_field.empty()) source.message_property_mappings.emplace_back("content", entry.content_field);
  try {
    source.chat_template = chat_template_source(source.chat_template, entry.jinja);
  } catch (const Error& error) {
    throw Error(error.kind(), error.message(),
                {.file = value.place,
                 .field = field + "." + error.field(),
                 .expected = error.expected(),
                 .found = error.found()});
  }
  std::error_code ignored;
  const bool is_folder = entry.data_files.empty() && fs::is_directory(source.path, ignored);
  if (!is_folder && entry.split != "train") {
    throw Error(ErrorKind::unsupported, "a file is one split, named train",
                {.file = value.place,
                 .field = field + ".split",
                 .expected = "train, or a folder as path",
                 .found = entry.split});
  }
  const bool kind = source.path == "json" || source.path == "csv" || source.path == "text";
  if (!entry.data_files.empty()) {
    if (kind && source.format.empty()) source.format = source.path;
    const fs::path folder = kind ? fs::path() : fs::path(source.path);
    for (const std::string& file : entry.data_files) {
      Source one = source;
      one.path = (folder / file).string();
      sources.push_back(std::move(one));
    }
    return;
  }
  if (source.path.empty()) throw wrong_value(value, field + ".path", "a file or a folder");
  if (is_folder) source.path = file_of_split(source.path, entry.split, value);
  sources.push_back(std::move(source));
}

}  // namespace

std::vector<DatasetSource> read_dataset_sources(const YamlValue& value, const std::string& field) {
  if (value.kind != YamlValue::Kind::sequence || value.items.empty()) {
    throw wrong_value(value, field, "a list of data sets");
  }
  std::vector<DatasetSource> sources;
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    const YamlValue& item = value.items[i];
    const std::string name = field + "[" + std::to_string(i) + "]";
    if (item.kind != YamlValue::Kind::mapping) throw wrong_value(item, name, "a mapping with a path");
    Entry entry;
    for (const auto& [key, member] : item.members) read_entry_key(entry, key, member, name + "." + key);
    add_entry(std::move(entry), item, name, sources);
  }
  return sources;
}

}  // namespace powerhouse
