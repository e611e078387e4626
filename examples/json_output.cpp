// Answers that a program can read: a JSON schema, a pattern and a list of choices, from a model of any size.
//
//     json_output SmolLM2-135M-Instruct.Q4_1.gguf
#include <powerhouse/powerhouse.h>

#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr const char* kPerson = R"({
  "type": "object",
  "properties": {
    "name": {"type": "string", "minLength": 2, "maxLength": 30},
    "born": {"type": "string", "format": "date"},
    "field": {"enum": ["mathematics", "physics", "music", "painting"]},
    "works": {"type": "array", "items": {"type": "string", "maxLength": 40}, "minItems": 1, "maxItems": 3}
  },
  "required": ["name", "born", "field", "works"]
})";

}  // namespace

int main(int argc, char** argv) {
  using powerhouse::Constraint;
  if (argc != 2) {
    std::cerr << "usage: json_output MODEL\n";
    return 2;
  }
  try {
    const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const auto ask = [&](const std::string& question, const Constraint& constraint) {
      const auto answer =
          powerhouse::chat(model, tokenizer, {{"user", question}},
                           {.max_new_tokens = 200, .temperature = 0.5f, .seed = 1, .constraint = constraint});
      std::cout << question << "\n  " << answer.text << "  (" << powerhouse::to_string(answer.finish_reason) << ")\n";
    };
    const std::vector<std::string> answers{"yes", "no", "I do not know"};
    ask("Describe Leonhard Euler as JSON.", Constraint::from_json_schema(tokenizer, kPerson));
    ask("What year did the First World War begin?", Constraint::from_regex(tokenizer, R"((?:In )?1\d{3}\.?)"));
    ask("Is the sun a star?", Constraint::from_choices(tokenizer, answers));
    ask("Name three colours as a list.", Constraint::from_gbnf(tokenizer, R"(root ::= item{3}
item ::= "- " [a-z]+ "\n")"));

    // What is wrong with a schema is said with its place.
    (void)Constraint::from_json_schema(tokenizer, R"({"properties": {"age": {"type": "intger"}}})");
  } catch (const powerhouse::Error& error) {
    std::cout << error.what() << "\n";
    return error.field() == "#/properties/age/type" ? 0 : 1;
  }
}
