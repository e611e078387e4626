#include "powerhouse/explanation.h"

#include <algorithm>
#include <cmath>

#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "support/html_chart.h"

namespace powerhouse {
namespace {

constexpr const char* kStyle =
    "<style>.text{font:1.05em/2 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".t{position:relative;border-radius:3px;padding:.15em 0}.t.other{text-decoration:underline;"
    "text-underline-offset:.25em}.t>span{display:none;position:absolute;left:0;top:100%;z-index:1;padding:.4em .6em;"
    "background:#fff;border:1px solid #bbb;border-radius:4px;font-size:.85em;line-height:1.4;white-space:pre}"
    ".t:hover>span,.t:focus>span{display:block}.scale span{padding:.15em .5em}</style>\n";

double share(const TokenLogProb& token) { return std::exp(static_cast<double>(token.log_prob)); }

std::string percent(const TokenLogProb& token) {
  const double value = 100 * share(token);
  return chart_number(value, value < 0.1 ? "%.1e %%" : "%.1f %%");
}

// From red, by the fourth root (a tenth is still halfway), to green.
std::string colour(double probability) {
  return "hsl(" + chart_number(120 * std::pow(probability, 0.25), "%.0f") + ",70%,85%)";
}

std::string text_of(std::int64_t id, const Tokenizer& tokenizer) {
  // A head may have more rows than the tokenizer has tokens.
  if (id >= static_cast<std::int64_t>(tokenizer.vocab_size())) return "#" + std::to_string(id);
  return tokenizer.decode({&id, 1}, {.skip_special_tokens = false});
}

// With what the eye does not see.
std::string visible(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case ' ': out += "\u2423"; break;
      case '\n': out += "\u21b5"; break;
      case '\t': out += "\u21e5"; break;
      default: out += c;
    }
  }
  return html_escaped(out);
}

bool is_best(const TokenChoice& choice) {
  return choice.best.empty() || choice.chosen.log_prob >= choice.best.front().log_prob;
}

class Page {
 public:
  Page(const GenerationResult& result, const Tokenizer& tokenizer, const ExplanationOptions& options)
      : result_(result), tokenizer_(tokenizer), options_(options) {}

  std::string html() const {
    std::string html = html_page_begin(options_.title) + kStyle;
    if (!options_.prompt.empty()) {
      html += "<h2>Prompt</h2>\n<div class=\"text\">" + html_escaped(options_.prompt) + "</div>\n";
    }
    html += "<h2>Text</h2>\n<div class=\"text\">";
    for (std::size_t i = 0; i < result_.choices.size(); ++i) html += token(i);
    html += "</div>\n<p class=\"scale\">Probability: ";
    for (const double probability : {0.001, 0.01, 0.1, 0.5, 1.0}) {
      html += "<span style=\"background:" + colour(probability) + "\">" + chart_number(100 * probability) + " %</span>";
    }
    return html + "; underlined: another token was more probable.</p>\n" + facts() + table() + "</body></html>\n";
  }

 private:
  std::string token(std::size_t i) const {
    const TokenChoice& choice = result_.choices[i];
    const std::string text = text_of(choice.chosen.id, tokenizer_);
    std::string html = std::string("<span tabindex=\"0\" class=\"t") + (is_best(choice) ? "" : " other") +
                       "\" style=\"background:" + colour(share(choice.chosen)) + "\">";
    html += text.empty() ? "\u2205" : html_escaped(text);
    html += "<span><b>" + visible(text) + "</b> " + percent(choice.chosen);
    if (has_layers()) html += "  layer " + std::to_string(options_.premature_layers[i]);
    for (const TokenLogProb& other : choice.best) {
      html += "\n" + visible(text_of(other.id, tokenizer_)) + " " + percent(other);
    }
    return html + "</span></span>";
  }

  std::string facts() const {
    double sum = 0;
    for (const TokenChoice& choice : result_.choices) sum += static_cast<double>(choice.chosen.log_prob);
    const auto count = static_cast<double>(std::max<std::size_t>(result_.choices.size(), 1));
    return html_facts({{"tokens", std::to_string(result_.choices.size())},
                       {"log-probability", chart_number(sum)},
                       {"perplexity", chart_number(std::exp(-sum / count))},
                       {"ended by", std::string(to_string(result_.finish_reason))},
                       {"seed", std::to_string(result_.seed)}});
  }

  std::string table() const {
    std::string html = "<h2>Tokens</h2>\n<table class=\"numbers\"><tr><th>token</th><th>id</th><th>probability</th>";
    if (has_layers()) html += "<th>premature layer</th>";
    html += "<th>most probable</th></tr>\n";
    for (std::size_t i = 0; i < result_.choices.size(); ++i) {
      const TokenChoice& choice = result_.choices[i];
      html += "<tr><td>" + visible(text_of(choice.chosen.id, tokenizer_)) + "</td><td>" +
              std::to_string(choice.chosen.id) + "</td><td>" + percent(choice.chosen) + "</td>";
      if (has_layers()) html += "<td>" + std::to_string(options_.premature_layers[i]) + "</td>";
      html += "<td>";
      for (const TokenLogProb& other : choice.best) {
        html += visible(text_of(other.id, tokenizer_)) + " " + percent(other) + "&emsp;";
      }
      html += "</td></tr>\n";
    }
    return html + "</table>\n";
  }

  bool has_layers() const { return !options_.premature_layers.empty(); }

  const GenerationResult& result_;
  const Tokenizer& tokenizer_;
  const ExplanationOptions& options_;
};

}  // namespace

std::string to_html(const GenerationResult& result, const Tokenizer& tokenizer, const ExplanationOptions& options) {
  if (result.choices.size() != result.ids.size()) {
    throw Error(ErrorKind::usage, "the result has no choices to explain",
                {.field = "top_log_probs", .expected = "set for the generation"});
  }
  if (!options.premature_layers.empty() && options.premature_layers.size() != result.ids.size()) {
    throw Error(ErrorKind::usage, "a layer is needed for each token",
                {.field = "premature_layers",
                 .expected = std::to_string(result.ids.size()),
                 .found = std::to_string(options.premature_layers.size())});
  }
  return Page(result, tokenizer, options).html();
}

void write_html(const GenerationResult& result, const Tokenizer& tokenizer, const std::string& path,
                const ExplanationOptions& options) {
  write_atomically(path, to_html(result, tokenizer, options));
}

}  // namespace powerhouse
