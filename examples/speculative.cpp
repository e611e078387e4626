// A text with a word changed, in less time: what an answer copies from its prompt is looked up there, and verified many
// tokens a pass.
//
//     speculative SmolLM2-135M-Instruct.Q4_1.gguf
#include <powerhouse/powerhouse.h>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 2) throw powerhouse::Error(powerhouse::ErrorKind::usage, "usage: speculative MODEL");
  const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  const std::string text =
      "The river rose in the night, and by morning the lower fields lay under a sheet of brown water. Nobody in the "
      "village had seen it come so fast. The miller counted 14 sacks of flour, about 350 kg, and swore that he would "
      "build his next house on the hill, where the old church stands today. His daughter rowed from door to door with "
      "bread and milk.";
  const auto chat = powerhouse::ChatTemplate::from_tokenizer(tokenizer);
  const std::vector<powerhouse::Message> messages = {
      {"user", "Repeat this text, but write Wednesday for morning:\n\n" + text}};
  const auto ids =
      tokenizer.encode(chat.render(messages, {.add_generation_prompt = true}), {.add_special_tokens = false});
  const powerhouse::GenerationOptions options{.max_new_tokens = 100};

  powerhouse::Session session(model);
  const auto plain = powerhouse::generate(session, session.create(), tokenizer, ids, options);
  const auto drafter = powerhouse::prompt_lookup();
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
