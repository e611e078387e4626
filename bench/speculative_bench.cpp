// Prompt lookup against plain decoding, in turns: speculative_bench MODEL [tokens] [rounds]
//
// Two tasks on one passage: to edit it (repeat it with a word changed), and a question about it, where little of the
// text stands in the prompt. Prints tokens a second, medians over the rounds.
#include <powerhouse/powerhouse.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

const char* const kPassage =
    "The river rose in the night, and by morning the lower fields lay under a sheet of brown water. Nobody in the "
    "village had seen it come so fast. The miller counted 14 sacks of flour, about 350 kg, and swore that he would "
    "build his next house on the hill, where the old church stands today. His daughter rowed from door to door with "
    "bread and milk. In the evening the rain stopped, the clouds opened over the western ridge, and people began to "
    "carry their furniture back into the houses. The schoolmaster wrote down how high the water had stood at every "
    "door, so that their grandchildren would know where not to build.";

void measure(const powerhouse::CausalLM& model, const powerhouse::Tokenizer& tokenizer, const char* task,
             const std::string& request, std::int64_t tokens, int rounds) {
  const auto chat = powerhouse::ChatTemplate::from_tokenizer(tokenizer);
  const std::vector<powerhouse::Message> messages = {{"user", request}};
  const auto ids =
      tokenizer.encode(chat.render(messages, {.add_generation_prompt = true}), {.add_special_tokens = false});
  const powerhouse::GenerationOptions options{.max_new_tokens = tokens};
  std::vector<double> plain, lookup;
  bool same = true;
  powerhouse::SpeculativeResult last;
  for (int i = 0; i < rounds; ++i) {
    powerhouse::Session session(model);
    const auto text = powerhouse::generate(session, session.create(), tokenizer, ids, options);
    const auto drafter = powerhouse::prompt_lookup();
    last = powerhouse::generate_speculatively(model, tokenizer, ids, *drafter, {}, options);
    same = same && text.ids == last.generation.ids;
    plain.push_back(text.new_tokens_per_second());
    lookup.push_back(last.generation.new_tokens_per_second());
  }
  const auto& s = last.statistics;
  std::printf(
      "%s: prompt %zu, text %zu, plain %.0f, lookup %.0f tokens/s, %.2f x; passes %lld, drafted %lld, accepted "
      "%lld%s\n",
      task, ids.size(), last.generation.ids.size(), median(plain), median(lookup), median(lookup) / median(plain),
      static_cast<long long>(s.passes), static_cast<long long>(s.drafted), static_cast<long long>(s.accepted),
      same ? "" : "; TEXTS DIFFER");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: speculative_bench MODEL [tokens] [rounds]\n");
    return 2;
  }
  const std::int64_t tokens = argc > 2 ? std::atoll(argv[2]) : 160;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  measure(model, tokenizer, "edit", "Repeat this text, but write Wednesday for morning:\n\n" + std::string(kPassage),
          tokens, rounds);
  measure(model, tokenizer, "question", std::string(kPassage) + "\n\nWhat is the best way to cook rice?", tokens,
          rounds);
}
