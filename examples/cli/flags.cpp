#include "flags.h"

#include <charconv>
#include <cmath>

#include "common.h"
#include "sampling_flags.h"

namespace cli {
namespace {

// `text` as a T, all of it.
template <typename T>
bool parse(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [next, failure] = std::from_chars(text.data(), end, value);
  return failure == std::errc() && next == end;
}

// Whatever `check` throws for a text becomes CLI11's complaint, which names the flag.
template <typename Check>
CLI::Validator accepted_by(Check check) {
  return CLI::Validator(
      [check](std::string& text) {
        try {
          check(text);
        } catch (const powerhouse::Error& error) {
          return std::string(error.what());
        }
        return std::string();
      },
      "");
}

std::string shown(float value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

CLI::Validator integer(std::int64_t low, std::int64_t high) {
  const std::string bounds = high == std::numeric_limits<std::int64_t>::max()
                                 ? std::to_string(low) + " or more"
                                 : std::to_string(low) + " to " + std::to_string(high);
  return CLI::Validator(
      [low, high, bounds](std::string& text) {
        std::int64_t value = 0;
        if (!parse(text, value) || value < low || value > high) {
          return "expected an integer, " + bounds + ", found " + text;
        }
        text = std::to_string(value);
        return std::string();
      },
      "");
}

CLI::Validator number(float low, float high, bool open) {
  std::string bounds = (open ? "above " : "") + shown(low);
  if (high < kLargest) {
    bounds += (open ? ", at most " : " to ") + shown(high);
  } else if (!open) {
    bounds += " or more";
  }
  return CLI::Validator(
      [low, high, open, bounds](std::string& text) {
        float value = 0;
        const bool fits = parse(text, value) && std::isfinite(value) && value <= high;
        if (!fits || value < low || (open && value == low)) return "expected a number, " + bounds + ", found " + text;
        return std::string();
      },
      "");
}

CLI::Validator not_empty() {
  return CLI::Validator([](std::string& text) { return text.empty() ? std::string("must not be empty") : ""; }, "");
}

CLI::Validator dtype_name() {
  return accepted_by([](const std::string& text) { powerhouse::parse_dtype(text); });
}

void ModelFlags::add(CLI::App& command, std::string_view default_dtype) {
  command.add_option("--model", model, "GGUF file or folder in Hugging Face layout")->required()->check(not_empty());
  add_all_but_model(command, default_dtype);
}

void ModelFlags::add_all_but_model(CLI::App& command, std::string_view default_dtype) {
  dtype = default_dtype;
  command.add_option("--threads", threads, "threads; the physical cores by default")->transform(integer(1, 1024));
  add_device(command, device);
  command.add_option("--dtype", dtype, "auto, f32, bf16 or f16")->capture_default_str()->check(dtype_name());
  command.add_option("--numerics", numerics, "fast, or exact: the same bits in any batch, in pieces or at once")
      ->capture_default_str()
      ->check(accepted_by([](const std::string& text) { powerhouse::parse_numerics(text); }));
}

void add_device(CLI::App& command, std::string& device) {
  command.add_option("--device", device, "cpu or cuda[:N]")
      ->capture_default_str()
      ->check(accepted_by([](const std::string& text) { powerhouse::parse_device(text); }));
}

void CacheFlags::add(CLI::App& command) {
  const auto type = accepted_by([](const std::string& text) { powerhouse::parse_kv_type(text); });
  command
      .add_option("--kv-type", both, "type of the cache: auto, f32, bf16, f16, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl")
      ->capture_default_str()
      ->check(type);
  command.add_option("--cache-type-k", keys, "type of its keys, where it is another")->check(type);
  command.add_option("--cache-type-v", values, "type of its values, where it is another")->check(type);
}

bool CacheFlags::named() const { return both != "auto" || !keys.empty() || !values.empty(); }

powerhouse::SessionOptions CacheFlags::session() const {
  return {.kv_type = powerhouse::parse_kv_type(keys.empty() ? both : keys),
          .value_type = powerhouse::parse_kv_type(values.empty() ? both : values)};
}

void add_context(CLI::App& command, std::int64_t& context) {
  command.add_option("--context", context, "tokens a chunk; the second half of each is scored")
      ->capture_default_str()
      ->transform(integer(4))
      ->check([](const std::string& text) {
        return (text.back() - '0') % 2 == 0 ? std::string() : "expected an even number, found " + text;
      });
}

void add_prompt_cache(CLI::App& command, std::string& path) {
  command
      .add_option("--prompt-cache", path,
                  "reuse the key-value cache in this file as far as the prompt begins as it did; it is written at the "
                  "end")
      ->check(not_empty());
}

powerhouse::LoadOptions ModelFlags::load_options() const {
  return {.dtype = powerhouse::parse_dtype(dtype),
          .device = powerhouse::parse_device(device),
          .numerics = powerhouse::parse_numerics(numerics)};
}

powerhouse::CausalLM ModelFlags::load() const {
  if (threads > 0) powerhouse::set_threads(threads);
  auto loaded = powerhouse::CausalLM::from_pretrained(model, load_options());
  if (!adapter.empty()) loaded.load_adapter(adapter);
  return loaded;
}

void ModelFlags::add_adapter(CLI::App& command) {
  command.add_option("--adapter", adapter, "folder of a PEFT adapter, or llama.cpp's GGUF file of one")
      ->check(not_empty());
}

namespace {

// What ends a text besides --stop, and a budget for thoughts.
void add_stops(CLI::App& command, powerhouse::GenerationOptions& options) {
  const auto each = [&command](const char* name, const char* help, auto take) {
    command
        .add_option_function<std::string>(
            name, [](const std::string&) {}, help)
        ->check(not_empty())
        ->each(take)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  each("--stop-regex", "end before what this matches; may be repeated",
       [&options](const std::string& text) { options.stop_regex.push_back(text); });
  each("--stop-token-ids", "end before one of these tokens", [&options](const std::string& text) {
    for (const std::int64_t id : parse_ids(text, "--stop-token-ids")) options.stop_token_ids.push_back(id);
  });
  command
      .add_option_function<double>(
          "--max-time", [&options](double seconds) { options.max_time = seconds; }, "stop after so many seconds")
      ->transform(number(0, kLargest, true));
  auto thinking = std::make_shared<powerhouse::ThinkingOptions>();
  std::vector<CLI::Option*> settings = {
      command.add_option("--thinking-start", thinking->start, "what begins a thought")->capture_default_str(),
      command.add_option("--thinking-end", thinking->end, "what ends it")->capture_default_str(),
      command.add_option("--thinking-message", thinking->message,
                         "written before the end where the budget is used up")};
  CLI::Option* const budget = command
                                  .add_option_function<std::int64_t>(
                                      "--thinking-budget",
                                      [&options, thinking](std::int64_t tokens) {
                                        thinking->budget = tokens;
                                        options.thinking = *thinking;
                                      },
                                      "tokens of thought before its end is written")
                                  ->transform(integer(0));
  for (CLI::Option* const setting : settings) setting->needs(budget)->check(not_empty());
}

}  // namespace

void GenerationFlags::add(CLI::App& command) {
  const auto option = [&command](const char* name, auto& value, const char* help, const CLI::Validator& bounds) {
    command.add_option(name, value, help)->capture_default_str()->transform(bounds);
  };
  option("--max-new-tokens", options.max_new_tokens, "stop after this many tokens", integer(0));
  add_sampling(command, options);
  command.add_option("--negative-prompt", negative_prompt, "the text that --guidance-scale leads away from");
  add_stops(command, options);
  // One text an occurrence, as it stands: CLI11 would read "[a,b]" for a list as two.
  command
      .add_option_function<std::string>(
          "--stop", [](const std::string&) {}, "end before this text; may be repeated")
      ->check(not_empty())
      ->each([this](const std::string& text) { options.stop.push_back(text); })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command.add_option_function<std::string>(
      "--seed",
      [this](const std::string& text) {
        std::uint64_t seed = 0;
        if (!parse(text, seed)) {
          throw CLI::ValidationError("--seed", "expected an integer, 0 to 2^64 - 1, found " + text);
        }
        options.seed = seed;
      },
      "the same seed gives the same text");
}

powerhouse::GenerationOptions GenerationFlags::with(const powerhouse::Tokenizer& tokenizer) const {
  powerhouse::GenerationOptions found = options;
  if (!negative_prompt.empty()) found.sampling.negative_prompt_ids = tokenizer.encode(negative_prompt);
  return found;
}

}  // namespace cli
