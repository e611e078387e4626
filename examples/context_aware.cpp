// What a context says against what a model remembers: the same question with a context, without, and context-aware.
//
//     context_aware SmolLM2-135M-Instruct.Q4_1.gguf
#include <powerhouse/powerhouse.h>

#include <iomanip>
#include <iostream>
#include <string>

int main(int argc, char** argv) try {
  if (argc != 2) throw powerhouse::Error(powerhouse::ErrorKind::usage, "usage: context_aware MODEL");
  const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  const std::string context =
      "In this novel the government of France left Paris. Since then the capital of France has been Lyon.\n";
  const std::string question = "Question: What is the capital of France?\nAnswer: The capital of France is";
  const auto report =
      powerhouse::knowledge_conflict(model, tokenizer, tokenizer.encode(context + question), tokenizer.encode(question),
                                     {.alpha = 1.0f}, {.max_new_tokens = 8, .stop = {"\n"}});
  std::cout << "with the context:    " << report.with_context.text << "\nwithout:             " << report.without.text
            << "\ncontext-aware:       " << report.context_aware.text
            << "\nconflict:            " << (report.conflict ? "yes" : "no") << "\nthe context adds "
            << report.context_gain() << " to the first answer's log-probability\n\n"
            << "token             with    without  divergence\n";
  for (const powerhouse::ContextEffect& effect : report.effects) {
    std::cout << std::left << std::setw(14) << tokenizer.decode({&effect.id, 1}) << std::right << std::fixed
              << std::setprecision(3) << std::setw(9) << effect.with_context << std::setw(10) << effect.without
              << std::setw(11) << effect.divergence << "\n";
  }
} catch (const powerhouse::Error& error) {
  std::cerr << error.what() << "\n";
  return error.kind() == powerhouse::ErrorKind::usage ? 2 : 1;
}
