// A conversation in the terminal: answers stream, history and cache are kept. Ctrl-D leaves.
//
//     chat SmolLM2-135M-Instruct.Q4_1.gguf
#include <powerhouse/powerhouse.h>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: chat MODEL\n";
    return 2;
  }
  try {
    const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
    powerhouse::Conversation conversation(model, powerhouse::Tokenizer::from_pretrained(argv[1]),
                                          "You are a helpful assistant.");
    const powerhouse::GenerationOptions options{
        .max_new_tokens = 128,
        .temperature = 0.7f,
        .top_p = 0.9f,
        .seed = 1,
        .on_token = [](std::string_view text) { std::cout << text << std::flush; },
    };
    std::string line;
    while (std::cout << "> " && std::getline(std::cin, line)) {
      const auto answer = conversation.send(line, options);
      std::cout << "\n(" << answer.new_tokens_per_second() << " tokens/s)\n";
    }
    std::cout << "\n";
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
