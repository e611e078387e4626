// The tokens of a GGUF file and what each of them is: llama.cpp's reading of `tokenizer.ggml.token_type`, with what it
// corrects by the tokens' texts (its list of those that end a generation, among others) and by the model's name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_reader.h"
#include "text/vocabulary.h"

namespace powerhouse {

class GgufVocabulary {
 public:
  // Token types of the GGUF specification as bits: corrections add to what the file says.
  enum Attribute : std::uint8_t {
    kUnknown = 1,
    kUnused = 2,
    kNormal = 4,
    kControl = 8,
    kUserDefined = 16,
    kByte = 32,
  };

  /// Reads tokens into `vocabulary` and their types. Error{format} for metadata that contradict themselves.
  GgufVocabulary(const GgufFile& file, Vocabulary& vocabulary);

  bool is(std::size_t id, std::uint8_t attributes) const { return (attributes_[id] & attributes) != 0; }
  std::size_t size() const { return attributes_.size(); }
  /// The ids that end a generation: those that the file names, then those that llama.cpp knows by their texts, which
  /// it makes control tokens. Call once, before is() counts.
  std::vector<std::int64_t> end_of_generation(const GgufFile& file,
                                              const std::vector<std::optional<std::int64_t>>& named);

  /// Tokens that take the white space before or after them, which llama.cpp knows by the model's name.
  struct Strips {
    std::vector<std::int64_t> left, right;  // ids, ascending
  };
  Strips strips(const GgufFile& file) const;

 private:
  std::optional<std::size_t> find(std::string_view text) const;
  std::size_t mark_first(std::initializer_list<std::string_view> texts);
  void drop_false_ends(std::vector<std::int64_t>& ends);

  const Vocabulary& vocabulary_;
  std::vector<std::uint8_t> attributes_;
};

}  // namespace powerhouse
