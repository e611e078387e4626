// The same text in less time: what a text copies from its prompt is looked up there, and verified many tokens a pass.
//
//     speculative SmolLM2-135M-Instruct.Q4_1.gguf
#include <powerhouse/powerhouse.h>

#include <iostream>
#include <string>

int main(int argc, char** argv) try {
  if (argc != 2) throw powerhouse::Error(powerhouse::ErrorKind::usage, "usage: speculative MODEL");
  const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  const std::string code =
      "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    return total / "
      "len(values)\n\n"
      "def variance(values):\n    center = mean(values)\n    total = 0\n    for value in values:\n"
      "        total += (value - center) ** 2\n    return total / len(values)\n";
  const auto ids = tokenizer.encode("The code:\n\n" + code + "\nThe same code again:\n\n");
  const powerhouse::GenerationOptions options{.max_new_tokens = 100};

  powerhouse::Session session(model);
  const auto plain = powerhouse::generate(session, session.create(), tokenizer, ids, options);
  const auto drafter = powerhouse::prompt_lookup(3);
  const auto fast = powerhouse::generate_speculatively(model, tokenizer, ids, *drafter, {}, options);
  const auto& seen = fast.statistics;
  std::cout << fast.generation.text << "\n\nplain:  " << plain.new_tokens_per_second()
            << " tokens/s\nlookup: " << fast.generation.new_tokens_per_second() << " tokens/s, " << seen.accepted
            << " of " << seen.drafted << " drafted tokens came true in " << seen.passes << " passes\n"
            << (plain.ids == fast.generation.ids ? "the same text" : "ANOTHER TEXT") << "\n";
} catch (const powerhouse::Error& error) {
  std::cerr << error.what() << "\n";
  return error.kind() == powerhouse::ErrorKind::usage ? 2 : 1;
}
