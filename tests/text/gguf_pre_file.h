// The fixture gguf_pre/vocabulary.gguf with another name in the place of its pre-tokenizer's.
#pragma once

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "temporary_folder.h"
#include "tokenizer_cases.h"

namespace powerhouse::testing {

class GgufPreFile {
 public:
  GgufPreFile() {
    std::ifstream in(text_fixture("gguf_pre/vocabulary.gguf"), std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    const std::string key = "tokenizer.ggml.pre";
    at_ = bytes_.find(key) + key.size() + 4;  // after the value's type
    if (bytes_.substr(at_ + 8, 7) != "default") throw std::runtime_error("the fixture has another name");
  }
  std::string with(const std::string& name) const {
    std::string length(8, '\0');
    length[0] = static_cast<char>(name.size());
    return folder_.write("x.gguf", bytes_.substr(0, at_) + length + name + bytes_.substr(at_ + 8 + 7));
  }

 private:
  TemporaryFolder folder_;
  std::string bytes_;
  std::size_t at_ = 0;
};

}  // namespace powerhouse::testing
