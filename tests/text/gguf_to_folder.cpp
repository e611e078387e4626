// gguf_to_folder VOCABULARY.gguf FOLDER: the files that a folder saved from that GGUF file gets for its tokenizer.
// A tool for tests/oracles/gguf_folders.py, which loads them with the `tokenizers` package.
#include <filesystem>
#include <iostream>

#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "text/folder_tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "gguf_to_folder VOCABULARY.gguf FOLDER\n";
    return 2;
  }
  try {
    const auto file = powerhouse::GgufFile::open(argv[1]);
    std::filesystem::create_directories(argv[2]);
    for (const auto& [name, text] : powerhouse::folder_tokenizer(*file, 2048)) {
      powerhouse::write_atomically(std::string(argv[2]) + "/" + name, text);
    }
    return 0;
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
