// tokenizer_compare FOLDER CASES.jsonl: runs the cases of tests/oracles/tokenizer_json_parts.py and prints how many
// differ, and the first of them. A tool for comparisons too large to keep.
#include <fstream>
#include <iostream>
#include <string>

#include "part_cases.h"

int main(int count, char** arguments) {
  using namespace powerhouse;
  if (count != 3) return 2;
  try {
    const Tokenizer tokenizer = Tokenizer::from_pretrained(arguments[1]);
    std::ifstream lines(arguments[2]);
    std::string line;
    std::string first;
    int cases = 0;
    int differences = 0;
    while (std::getline(lines, line)) {
      ++cases;
      std::string found;
      try {
        found = testing::difference(tokenizer, Json::parse(line, "case"));
      } catch (const Error& error) {
        found = error.what();
      }
      if (found.empty()) continue;
      if (++differences <= 2) first += "\n    " + found.substr(0, 600) + "\n    case " + line.substr(0, 500);
    }
    std::cout << cases << " cases, " << differences << " differences" << first << '\n';
    return differences == 0 && cases > 0 ? 0 : 1;
  } catch (const Error& error) {
    std::cout << error.what() << '\n';
    return 1;
  }
}
