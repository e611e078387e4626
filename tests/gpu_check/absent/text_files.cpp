// In the place of what saves tokenizers (src/model/tokenizer_files.cpp, gguf_saver.cpp): the check on a GPU is built
// without src/text and saves no model.
#include "model/gguf_saver.h"
#include "model/tokenizer_files.h"
#include "powerhouse/error.h"

namespace powerhouse {

namespace {

[[noreturn]] void fail() { throw Error(ErrorKind::unsupported, "the check on a GPU is built without tokenizers"); }

}  // namespace

bool has_folder_tokenizer(const std::string&) { return false; }
std::vector<FolderFile> tokenizer_files(const std::string&, const ModelConfig&, const std::vector<RoleToken>&) {
  fail();
}
void write_files(const std::string&, const std::vector<FolderFile>&) { fail(); }
void save_gguf(const Model&, const std::string&) { fail(); }

}  // namespace powerhouse
