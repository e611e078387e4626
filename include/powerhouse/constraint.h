// Output held to a form: a JSON schema, a regular expression, a list of choices, or a grammar in llama.cpp's GBNF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// Blanks between the signs of JSON.
enum class JsonWhitespace {
  flexible,  ///< nothing, a blank, or a line feed and up to twenty blanks or tabs, as llama.cpp has it
  compact,   ///< none
};

struct JsonSchemaOptions {
  JsonWhitespace whitespace = JsonWhitespace::flexible;
};

/// What a text may be, for one tokenizer's tokens. Copies share everything and are cheap; use from any thread is safe.
///
///     auto digits = powerhouse::Constraint::from_regex(tokenizer, "[0-9]{1,3}");
///     auto result = powerhouse::generate(model, tokenizer, prompt, {.constraint = digits});
///
/// Every Error names the place: a JSON pointer into the schema, the character of a pattern, line and column of a
/// grammar. What is malformed or can't be met is Error{format}, what is not built Error{unsupported}, what explodes
/// Error{range}.
class POWERHOUSE_API Constraint {
 public:
  /// JSON that a schema (drafts 7 and 2020-12) describes. Properties come in the schema's order; others only where
  /// `additionalProperties` or `patternProperties` ask for them. See docs/constrained-output.md for what is built.
  static Constraint from_json_schema(const Tokenizer& tokenizer, std::string_view schema,
                                     const JsonSchemaOptions& options = {});
  /// Texts that a pattern matches as a whole: Python's re.fullmatch, without what is not regular.
  static Constraint from_regex(const Tokenizer& tokenizer, std::string_view pattern);
  /// One of these texts.
  static Constraint from_choices(const Tokenizer& tokenizer, std::span<const std::string> choices);
  /// Texts of the rule `root` of a grammar in llama.cpp's notation.
  static Constraint from_gbnf(const Tokenizer& tokenizer, std::string_view grammar);

  const Tokenizer& tokenizer() const;

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  explicit Constraint(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

/// Follows one text through a constraint, token by token. A value: copies go their own ways, for beams and drafts.
class POWERHOUSE_API ConstraintMatcher {
 public:
  /// With the tokens that end a text: those of the tokenizer, or the caller's.
  explicit ConstraintMatcher(const Constraint& constraint);
  ConstraintMatcher(const Constraint& constraint, std::span<const std::int64_t> end_ids);

  /// Sets the logits of all tokens that may not come next to -infinity. An end is allowed exactly where the text is
  /// complete, or where the grammar names that token itself: then it is a step of the grammar. Error{unsupported} where
  /// no token of the vocabulary goes on.
  void mask(std::span<float> logits);
  /// The same as bits: token i is bit i % 64 of word i / 64.
  std::vector<std::uint64_t> allowed();
  bool allows(std::int64_t token);
  /// Takes a token. Error{usage} for one that is not allowed.
  void accept(std::int64_t token);
  /// Takes back the last `count` tokens. Error{usage} where there are fewer.
  void rollback(std::size_t count);

  /// The text so far is whole: an end may come now.
  bool is_complete();
  /// And nothing else may: the text has ended, or nothing can follow.
  bool is_finished();
  /// The tokens taken so far.
  const std::vector<std::int64_t>& tokens() const { return tokens_; }

 private:
  struct Access;
  Constraint constraint_;
  std::vector<std::int64_t> end_ids_;
  std::vector<std::int64_t> tokens_;
  std::vector<std::int32_t> states_;  // before the first token, and behind each
  std::uint64_t epoch_ = 0;           // of the states
  bool ended_ = false;
};

}  // namespace powerhouse
