#include "powerhouse/teacher_completions.h"

#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "support/json.h"

namespace powerhouse {
namespace {

Json messages(const char* role, const std::string& content) {
  JsonObject message;
  message["role"] = role;
  message["content"] = content;
  return Json(Json::Array{Json(std::move(message))});
}

std::string line_of(const std::string& prompt, const std::string& completion, bool chat) {
  JsonObject row;
  row["prompt"] = chat ? messages("user", prompt) : Json(prompt);
  row["completion"] = chat ? messages("assistant", completion) : Json(completion);
  return Json(std::move(row)).dump() + "\n";
}

}  // namespace

std::int64_t write_teacher_completions(const CausalLM& teacher, const Tokenizer& tokenizer,
                                       std::span<const std::string> prompts, const std::string& path,
                                       const TeacherCompletionOptions& options) {
  if (prompts.empty()) throw Error(ErrorKind::usage, "nothing to complete", {.field = "prompts"});
  AtomicFile file(path);
  GenerationOptions generation = options.generation;
  std::int64_t rows = 0;
  for (const std::string& prompt : prompts) {
    const GenerationResult result = options.chat ? chat(teacher, tokenizer, {{"user", prompt}}, generation)
                                                 : generate(teacher, tokenizer, prompt, generation);
    if (generation.seed) ++*generation.seed;
    if (result.finish_reason == FinishReason::cancelled) break;
    if (result.text.empty() || (result.finish_reason == FinishReason::length && !options.keep_unfinished)) continue;
    file.write(line_of(prompt, result.text, options.chat));
    ++rows;
  }
  file.commit();
  return rows;
}

}  // namespace powerhouse
