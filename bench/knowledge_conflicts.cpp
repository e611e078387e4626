// Answers to questions whose context says other than the model remembers, by each way to decode by contrast:
//
//     knowledge_conflicts MODEL QUESTIONS ANSWERS [AMATEUR]
//
// QUESTIONS holds a JSON object a line with the texts `with_context` and `without`; ANSWERS gets {strategy, index,
// text} a line. bench/knowledge_conflicts.py makes the one and scores the other.
#include <powerhouse/powerhouse.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace {

using Ids = std::vector<std::int64_t>;

struct Strategy {
  std::string name;
  std::function<powerhouse::GenerationResult(const Ids& with_context, const Ids& without)> answer;
};

std::vector<Strategy> strategies(const powerhouse::CausalLM& model, const powerhouse::Tokenizer& tokenizer,
                                 const std::optional<powerhouse::Amateur>& amateur) {
  const powerhouse::GenerationOptions options{.max_new_tokens = 16, .stop = {"\n"}};
  const auto greedy = [=, &model, &tokenizer](const Ids& ids) {
    powerhouse::Session session(model);
    return powerhouse::generate(session, session.create(), tokenizer, ids, options);
  };
  std::vector<Strategy> all;
  all.push_back({"greedy", [=](const Ids& ids, const Ids&) { return greedy(ids); }});
  all.push_back({"greedy without the context", [=](const Ids&, const Ids& ids) { return greedy(ids); }});
  for (const float alpha : {0.5f, 1.0f}) {
    all.push_back({alpha == 0.5f ? "context-aware, alpha 0.5" : "context-aware, alpha 1",
                   [=, &model, &tokenizer](const Ids& ids, const Ids& without) {
                     return powerhouse::generate_context_aware(model, tokenizer, ids, without, {.alpha = alpha},
                                                               options);
                   }});
  }
  if (amateur) {
    all.push_back({"contrastive decoding", [=, &model, &tokenizer](const Ids& ids, const Ids&) {
                     return powerhouse::generate_contrastive(model, tokenizer, *amateur, ids, {}, options);
                   }});
  }
  for (const char* half : {"low", "high"}) {
    auto penalized = options;
    penalized.repetition_penalty = 1.2f;
    for (const auto& chosen : {options, penalized}) {
      const std::string name = std::string("DoLa, ") + half;
      all.push_back({chosen.repetition_penalty == 1.0f ? name : name + ", repetition penalty 1.2",
                     [=, &model, &tokenizer](const Ids& ids, const Ids&) {
                       const powerhouse::DolaOptions dola{.layers = powerhouse::dola_layers(model.config(), half)};
                       return powerhouse::generate_dola(model, tokenizer, ids, dola, chosen).generation;
                     }});
    }
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: knowledge_conflicts MODEL QUESTIONS ANSWERS [AMATEUR]\n");
    return 2;
  }
  const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  std::optional<powerhouse::CausalLM> small;
  std::optional<powerhouse::Amateur> amateur;
  if (argc > 4) amateur.emplace(small.emplace(powerhouse::CausalLM::from_pretrained(argv[4])), tokenizer);
  std::ifstream questions(argv[2]);
  std::ofstream answers(argv[3]);
  const auto all = strategies(model, tokenizer, amateur);
  std::string line;
  for (std::int64_t index = 0; std::getline(questions, line); ++index) {
    const auto question = nlohmann::json::parse(line);
    const Ids with_context = tokenizer.encode(question.at("with_context").get<std::string>());
    const Ids without = tokenizer.encode(question.at("without").get<std::string>());
    for (const Strategy& strategy : all) {
      const auto result = strategy.answer(with_context, without);
      answers << nlohmann::json{{"strategy", strategy.name}, {"index", index}, {"text", result.text}}.dump() << "\n";
    }
  }
  return answers.flush() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "knowledge_conflicts: %s\n", error.what());
  return 1;
}
