// gguf_compare VOCABULARY.gguf TEXTS IDS special|plain: the ids of texts against those that tests/oracles/llama_ids.cpp
// wrote, the tokens' spans against the ids, and streams against whole texts; prints how many differ, and the first.
// A tool for comparisons too large to keep; tests/oracles/gguf_vocabularies.py runs it.
#include <fstream>
#include <iostream>
#include <string>

#include "powerhouse/error.h"
#include "support/json.h"
#include "text/tokenizer_impl.h"

namespace {

// Reads records one by one: the files may be pipes.
class Records {
 public:
  explicit Records(const char* path) : in_(path, std::ios::binary) {}

  bool next(std::uint32_t& value) { return static_cast<bool>(in_.read(reinterpret_cast<char*>(&value), sizeof value)); }
  std::string bytes(std::size_t count) {
    std::string out(count, '\0');
    if (!in_.read(out.data(), static_cast<std::streamsize>(count))) {
      throw powerhouse::Error(powerhouse::ErrorKind::format, "a record ends too early");
    }
    return out;
  }

 private:
  std::ifstream in_;
};

std::string streamed(const powerhouse::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids) {
  powerhouse::DecodeStream stream(tokenizer);
  std::string text;
  for (const std::int64_t id : ids) text += stream.step(id);
  return text + stream.finish();
}

std::string shown(const std::vector<std::int64_t>& ids) {
  std::string out;
  for (const std::int64_t id : ids) out += " " + std::to_string(id);
  return out.substr(0, 600);
}

}  // namespace

int main(int count, char** arguments) {
  using namespace powerhouse;
  if (count != 5) return 2;
  try {
    const Tokenizer tokenizer = Tokenizer::from_pretrained(arguments[1]);
    Records texts(arguments[2]);
    Records expected(arguments[3]);
    const EncodingOptions spans{.add_special_tokens = false, .parse_special = arguments[4] == std::string("special")};
    std::size_t cases = 0, differences = 0;
    for (std::uint32_t length = 0; texts.next(length);) {
      const std::string text = texts.bytes(length);
      std::uint32_t left = 0;
      if (!expected.next(left)) throw Error(ErrorKind::format, "fewer lists of ids than texts");
      std::vector<std::int64_t> wanted;
      for (std::uint32_t id = 0; left > 0 && expected.next(id); --left) wanted.push_back(static_cast<std::int32_t>(id));
      ++cases;
      const std::vector<std::int64_t> ids = tokenizer.encode(text, {false, spans.parse_special});
      const bool same = ids == wanted && tokenizer.encode_full(text, spans).ids == wanted &&
                        streamed(tokenizer, ids) == tokenizer.decode(ids);
      if (same || ++differences > 3) continue;
      std::cout << "  " << Json(text.substr(0, 300)).dump() << "\n    llama.cpp" << shown(wanted) << "\n    here     "
                << shown(ids) << "\n";
    }
    std::cout << arguments[1] << " " << arguments[4] << ": " << cases << " texts, " << differences << " differences\n";
    return differences == 0 && cases > 0 ? 0 : 1;
  } catch (const Error& error) {
    std::cout << error.what() << '\n';
    return 1;
  }
}
