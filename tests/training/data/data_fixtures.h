// What the tests of datasets share: the oracle's file, its tokenizers, and rows written to files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "json_numbers.h"
#include "powerhouse/dataset.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse::testing {

inline const Json& oracle() {
  static const Json json = Json::parse_file(POWERHOUSE_FIXTURES "/training/datasets.json");
  return json;
}

/// A tokenizer.json of tests/fixtures/text with the special tokens that the oracle gave it, and perhaps a template.
inline Tokenizer tokenizer(const std::string& name, const std::string& chat_template = {}) {
  const TemporaryFolder folder;
  Json config = oracle().at("tokenizers").at(name);
  config.as_object()["tokenizer_class"] = "PreTrainedTokenizerFast";
  if (!chat_template.empty()) config.as_object()["chat_template"] = chat_template;
  folder.write("tokenizer_config.json", config.dump());
  std::filesystem::copy(POWERHOUSE_FIXTURES "/text/" + name + "/tokenizer.json", folder.file("tokenizer.json"));
  return Tokenizer::from_pretrained(folder.path());
}

inline std::int64_t rows_with(const DatasetReport& report, RowProblem problem) {
  const ProblemRows* found = report.find(problem);
  return found == nullptr ? 0 : found->rows;
}

/// Chat rows of one user and one assistant turn: "question i", "answer i" repeated so that lengths differ.
inline std::string alpaca_lines(int rows) {
  std::string out;
  for (int i = 0; i < rows; ++i) {
    std::string answer;
    for (int k = 0; k <= i % 7; ++k) answer += " word" + std::to_string(i * 31 % 97);
    out += R"({"instruction": "question )" + std::to_string(i) + R"(", "output": ")" + answer + "\"}\n";
  }
  return out;
}

}  // namespace powerhouse::testing
