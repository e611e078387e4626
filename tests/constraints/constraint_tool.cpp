// For tests/oracles/constraints.py and bench/constraints.py:
//   constraint_tool sample TOKENIZER CASES.json COUNT SEED   texts drawn under each case's constraint, a JSON line each
//   constraint_tool masks TOKENIZER CASES.json               ids allowed behind each of a case's prefixes
//   constraint_tool time TOKENIZER CASES.json                microseconds of a mask along each case's texts
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "constraint_cases.h"
#include "support/philox.h"
#include "text/token_texts.h"

namespace {

using namespace powerhouse;
using powerhouse::testing::allowed_ids;

Constraint constraint_of(const Tokenizer& tokenizer, const Json& one) {
  return Constraint::Impl::make(tokenizer, powerhouse::testing::grammar_of(one));
}

// Any allowed token is as good as another, but half of the time one that closes something, and sometimes a single
// character: a string of random tokens would hardly ever end, or meet the one digit that a pattern waits for.
std::optional<std::string> sample(const Constraint& constraint, const std::vector<std::string>& texts,
                                  std::uint64_t seed) {
  const Tokenizer& tokenizer = constraint.tokenizer();
  const Random random(seed, RandomStream::sampling);
  ConstraintMatcher matcher(constraint, std::vector<std::int64_t>{});
  for (std::uint64_t step = 0; step < 20'000; ++step) {
    if (matcher.is_finished() || (matcher.is_complete() && random.uniform(4 * step) < 0.2)) {
      return tokenizer.decode(matcher.tokens());
    }
    auto ids = allowed_ids(matcher);
    if (ids.empty()) {
      if (matcher.is_complete()) return tokenizer.decode(matcher.tokens());
      break;
    }
    const double kind = random.uniform(4 * step + 1);
    if (kind < 0.7) {
      std::vector<std::int64_t> some;
      for (const auto id : ids) {
        const std::string& text = texts[static_cast<std::size_t>(id)];
        if (kind < 0.5 ? text.find_first_of("\"]}") != std::string::npos : text.size() == 1) some.push_back(id);
      }
      if (!some.empty()) ids = std::move(some);
    }
    matcher.accept(ids[static_cast<std::size_t>(random.uniform(4 * step + 2) * static_cast<double>(ids.size()))]);
  }
  return {};
}

void sample_all(const Tokenizer& tokenizer, const Json& cases, int count, std::uint64_t seed) {
  const std::vector<std::string> texts = token_texts(tokenizer).texts;
  for (std::size_t at = 0; at < cases.as_array().size(); ++at) {
    const Constraint constraint = constraint_of(tokenizer, cases.as_array()[at]);
    for (int i = 0; i < count; ++i) {
      const auto text = sample(constraint, texts, seed + at * 100'000 + static_cast<std::uint64_t>(i));
      JsonObject line;
      line["case"] = static_cast<std::int64_t>(at);
      line["text"] = text ? Json(*text) : Json();
      std::puts(Json(line).dump().c_str());
    }
  }
}

void masks(const Tokenizer& tokenizer, const Json& cases) {
  for (std::size_t at = 0; at < cases.as_array().size(); ++at) {
    const Json& one = cases.as_array()[at];
    const Constraint constraint = constraint_of(tokenizer, one);
    for (const Json& prefix : one.at("prefixes").as_array()) {
      ConstraintMatcher matcher(constraint);
      for (const auto id : tokenizer.encode(prefix.as_string(), {.add_special_tokens = false})) matcher.accept(id);
      Json::Array ids;
      for (const auto id : allowed_ids(matcher)) ids.emplace_back(id);
      JsonObject line;
      line["case"] = static_cast<std::int64_t>(at);
      line["prefix"] = prefix;
      line["ids"] = std::move(ids);
      std::puts(Json(line).dump().c_str());
    }
  }
}

// Along a text's tokens: the first time with nothing known, then again.
void time_all(const Tokenizer& tokenizer, const Json& cases) {
  using Clock = std::chrono::steady_clock;
  const auto microseconds = [](Clock::duration time) {
    return std::chrono::duration<double, std::micro>(time).count();
  };
  std::vector<float> logits(tokenizer.vocab_size(), 0.0f);
  for (const Json& one : cases.as_array()) {
    const auto begin = Clock::now();
    const Constraint constraint = constraint_of(tokenizer, one);
    JsonObject line;
    line["case"] = one.string_or("name", one.at("kind").as_string());
    line["compile_us"] = microseconds(Clock::now() - begin);
    for (const char* pass : {"first", "again"}) {
      Clock::duration total{}, most{};
      std::int64_t tokens = 0;
      for (const Json& text : one.at("texts").as_array()) {
        ConstraintMatcher matcher(constraint);
        for (const auto id : tokenizer.encode(text.as_string(), {.add_special_tokens = false})) {
          const auto start = Clock::now();
          matcher.mask(logits);
          matcher.accept(id);
          const auto took = Clock::now() - start;
          total += took;
          most = std::max(most, took);
          ++tokens;
        }
      }
      line["tokens"] = tokens;
      line[std::string(pass) + "_mean_us"] = microseconds(total) / static_cast<double>(tokens);
      line[std::string(pass) + "_max_us"] = microseconds(most);
    }
    std::puts(Json(line).dump().c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 3 ? argv[1] : "";
  try {
    if (mode == "sample" && argc == 6) {
      sample_all(Tokenizer::from_pretrained(argv[2]), Json::parse_file(argv[3]), std::atoi(argv[4]),
                 std::strtoull(argv[5], nullptr, 10));
    } else if (mode == "masks" && argc == 4) {
      masks(Tokenizer::from_pretrained(argv[2]), Json::parse_file(argv[3]));
    } else if (mode == "time" && argc == 4) {
      time_all(Tokenizer::from_pretrained(argv[2]), Json::parse_file(argv[3]));
    } else {
      std::fputs("constraint_tool sample TOKENIZER CASES COUNT SEED | masks TOKENIZER CASES | time TOKENIZER CASES\n",
                 stderr);
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
