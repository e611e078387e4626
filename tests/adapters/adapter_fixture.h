// The adapters that tests/oracles/adapters.py wrote with PEFT, on the tiny models of tests/fixtures/model/families.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "model/fixture.h"
#include "powerhouse/adapter.h"
#include "support/json.h"

namespace powerhouse::testing {

inline std::string adapter_fixture(const std::string& name) { return POWERHOUSE_FIXTURES "/adapters/" + name; }

struct AdapterCase {
  std::string name, model;
  bool merged = false;  // whether there are merged weights to compare with

  std::string folder() const { return adapter_fixture(name); }
  CausalLM base(Dtype dtype = Dtype::f32) const { return load("families/" + model, dtype); }
  Tensors expected() const { return Tensors(folder() + "/expected.safetensors"); }

  friend void PrintTo(const AdapterCase& of, std::ostream* out) { *out << of.name; }
};

inline std::vector<AdapterCase> adapter_cases() {
  std::vector<AdapterCase> cases;
  const Json index = Json::parse_file(adapter_fixture("index.json"));
  for (const Json& row : index.as_array()) {
    cases.push_back({row.at("name").as_string(), row.at("model").as_string(), row.at("merged").as_bool()});
  }
  return cases;
}

inline std::string case_name(const ::testing::TestParamInfo<AdapterCase>& info) { return info.param.name; }

/// Mean cross-entropy of each next token.
inline at::Tensor next_token_loss(const at::Tensor& logits, const at::Tensor& ids) {
  const std::int64_t length = ids.size(1);
  const at::Tensor log_probabilities = logits.narrow(1, 0, length - 1).log_softmax(-1);
  return log_probabilities.gather(-1, ids.narrow(1, 1, length - 1).unsqueeze(-1)).mean().neg();
}

}  // namespace powerhouse::testing
