// A comparison as a table, as JSON and as a page with charts.
#include <algorithm>

#include "powerhouse/comparison.h"
#include "support/atomic_write.h"
#include "support/html_chart.h"
#include "support/json.h"

namespace powerhouse {
namespace {

struct Column {
  const char* title;
  std::string (*cell)(const ComparedModel&);
};

std::string mebibytes(std::size_t bytes) { return chart_number(static_cast<double>(bytes) / (1 << 20), "%.1f"); }

std::string with_error(double value, double error, const char* format) {
  return chart_number(value, format) + " +- " + chart_number(error, format);
}

std::string of_divergence(const ComparedModel& model, std::string (*cell)(const DivergenceResult&)) {
  return model.divergence ? cell(*model.divergence) : "-";
}

std::string rate(const ComparedModel& model, double Speed::*rate) {
  return model.speed ? chart_number((*model.speed).*rate, "%.1f") : "-";
}

constexpr Column kColumns[] = {
    {"model", [](const ComparedModel& model) { return model.name; }},
    {"MiB on disk", [](const ComparedModel& model) { return mebibytes(model.file_bytes); }},
    {"in memory", [](const ComparedModel& model) { return mebibytes(model.memory_bytes); }},
    {"bits/weight", [](const ComparedModel& model) { return chart_number(model.bits_per_weight, "%.2f"); }},
    {"perplexity",
     [](const ComparedModel& model) {
       return with_error(model.perplexity.perplexity, model.perplexity.standard_error, "%.4f");
     }},
    {"KL mean",
     [](const ComparedModel& model) {
       return of_divergence(model,
                            [](const auto& result) { return with_error(result.mean, result.standard_error, "%.6f"); });
     }},
    {"KL 99 %",
     [](const ComparedModel& model) {
       return of_divergence(model, [](const auto& result) { return chart_number(result.percentile_99, "%.5f"); });
     }},
    {"same top %",
     [](const ComparedModel& model) {
       return of_divergence(model, [](const auto& result) {
         return with_error(100 * result.same_top, 100 * result.same_top_error, "%.2f");
       });
     }},
    {"prompt tok/s", [](const ComparedModel& model) { return rate(model, &Speed::prompt_tokens_per_second); }},
    {"new tok/s", [](const ComparedModel& model) { return rate(model, &Speed::new_tokens_per_second); }},
};

// What the figures are of.
Facts facts_of(const Comparison& comparison) {
  return {{"reference", comparison.reference},
          {"text", std::to_string(comparison.tokens) + " tokens scored, the second halves of " +
                       std::to_string(comparison.chunks) + " chunks of " + std::to_string(comparison.context)},
          {"cache (keys, values)", comparison.kv_type + ", " + comparison.value_type},
          {"speed on", comparison.cpu + ", " + std::to_string(comparison.threads) + " threads"}};
}

std::string html_table(const Comparison& comparison) {
  std::string html = "<table class=\"numbers\">\n<tr>";
  for (const Column& column : kColumns) html += "<th>" + std::string(column.title) + "</th>";
  html += "</tr>\n";
  for (const ComparedModel& model : comparison.models) {
    html += "<tr>";
    for (const Column& column : kColumns) {
      std::string cell = html_escaped(column.cell(model));
      if (const std::size_t at = cell.find("+-"); at != std::string::npos) cell.replace(at, 2, "&plusmn;");
      html += "<td>" + cell + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

struct Mark {
  std::string name;
  double size, value, error;
};

// A dot with its name and error bar for each model, over its size.
std::string size_chart(const std::string& title, std::vector<Mark> marks, ChartScale scale) {
  const bool logarithmic = scale == ChartScale::logarithmic;
  if (logarithmic) std::erase_if(marks, [](const Mark& mark) { return !(mark.value > 0); });
  if (marks.empty()) return "";
  ChartRange x, y;
  const auto low = [&](const Mark& mark) {
    return logarithmic ? std::max(mark.value - mark.error, mark.value / 2) : mark.value - mark.error;
  };
  for (const Mark& mark : marks) {
    x.include(mark.size);
    y.include(low(mark));
    y.include(mark.value + mark.error);
  }
  x.widen(0.08);
  if (!logarithmic) y.widen(0.05);
  const ChartFrame frame(x, y, scale, 360);
  std::string svg = frame.begin(title);
  for (const Mark& mark : marks) {
    const std::string at = chart_place(frame.x_of(mark.size));
    const std::string name = html_escaped(mark.name);
    const bool right = frame.x_of(mark.size) > frame.width() * 0.7;
    svg += "<line stroke=\"#1f5fa8\" x1=\"" + at + "\" x2=\"" + at + "\" y1=\"" + chart_place(frame.y_of(low(mark))) +
           "\" y2=\"" + chart_place(frame.y_of(mark.value + mark.error)) +
           "\"/><circle r=\"4\" fill=\"#1f5fa8\" cx=\"" + at + "\" cy=\"" + chart_place(frame.y_of(mark.value)) +
           "\"><title>" + name + ": " + chart_number(mark.size, "%.1f") + " MiB, " + chart_number(mark.value) +
           "</title></circle><text x=\"" + chart_place(frame.x_of(mark.size) + (right ? -8 : 8)) + "\" y=\"" +
           chart_place(frame.y_of(mark.value) - 6) + "\"" + (right ? " text-anchor=\"end\"" : "") + ">" + name +
           "</text>\n";
  }
  return svg + "</svg>\n";
}

Json perplexity_json(const PerplexityResult& result) {
  JsonObject out;
  out["perplexity"] = result.perplexity;
  out["standard_error"] = result.standard_error;
  out["negative_log_likelihood"] = result.negative_log_likelihood;
  return out;
}

Json divergence_json(const std::optional<DivergenceResult>& result) {
  if (!result) return {};
  JsonObject out;
  out["mean"] = result->mean;
  out["standard_error"] = result->standard_error;
  out["median"] = result->median;
  out["percentile_99"] = result->percentile_99;
  out["maximum"] = result->maximum;
  out["same_top"] = result->same_top;
  out["same_top_error"] = result->same_top_error;
  out["log_perplexity_ratio"] = result->log_perplexity_ratio;
  out["log_perplexity_ratio_error"] = result->log_perplexity_ratio_error;
  return out;
}

Json speed_json(const std::optional<Speed>& speed) {
  if (!speed) return {};
  JsonObject out;
  out["prompt_tokens_per_second"] = speed->prompt_tokens_per_second;
  out["new_tokens_per_second"] = speed->new_tokens_per_second;
  return out;
}

}  // namespace

std::string to_string(const Comparison& comparison) {
  std::string out;
  for (const auto& [name, value] : facts_of(comparison)) out += name + ": " + value + "\n";
  std::vector<std::size_t> widths;
  for (const Column& column : kColumns) {
    std::size_t width = std::string_view(column.title).size();
    for (const ComparedModel& model : comparison.models) width = std::max(width, column.cell(model).size());
    widths.push_back(width);
  }
  const auto line = [&](auto cell) {
    for (std::size_t i = 0; i < std::size(kColumns); ++i) {
      const std::string text = cell(kColumns[i]);
      const std::string room(widths[i] - std::min(widths[i], text.size()), ' ');
      out += i == 0 ? text + room : "  " + room + text;
    }
    out += "\n";
  };
  line([](const Column& column) { return std::string(column.title); });
  for (const ComparedModel& model : comparison.models) {
    line([&](const Column& column) { return column.cell(model); });
  }
  return out;
}

std::string to_json(const Comparison& comparison) {
  Json::Array models;
  for (const ComparedModel& model : comparison.models) {
    JsonObject row;
    row["name"] = model.name;
    row["path"] = model.path;
    row["file_bytes"] = static_cast<std::uint64_t>(model.file_bytes);
    row["memory_bytes"] = static_cast<std::uint64_t>(model.memory_bytes);
    row["parameters"] = model.parameters;
    row["bits_per_weight"] = model.bits_per_weight;
    row["cache_bytes_per_token"] = static_cast<std::uint64_t>(model.cache_bytes_per_token);
    row["perplexity"] = perplexity_json(model.perplexity);
    row["divergence"] = divergence_json(model.divergence);
    row["speed"] = speed_json(model.speed);
    models.emplace_back(std::move(row));
  }
  JsonObject out;
  out["reference"] = comparison.reference;
  out["context"] = comparison.context;
  out["chunks"] = comparison.chunks;
  out["tokens"] = comparison.tokens;
  out["kv_type"] = comparison.kv_type;
  out["value_type"] = comparison.value_type;
  out["threads"] = comparison.threads;
  out["cpu"] = comparison.cpu;
  out["models"] = std::move(models);
  return Json(std::move(out)).dump(2) + "\n";
}

std::string to_html(const Comparison& comparison) {
  std::vector<Mark> divergences, perplexities;
  for (const ComparedModel& model : comparison.models) {
    const double size = static_cast<double>(model.file_bytes) / (1 << 20);
    perplexities.push_back({model.name, size, model.perplexity.perplexity, model.perplexity.standard_error});
    if (!model.divergence) continue;
    divergences.push_back({model.name, size, model.divergence->mean, model.divergence->standard_error});
  }
  return html_page_begin("Comparison of models") + html_facts(facts_of(comparison)) + html_table(comparison) +
         size_chart("Mean KL divergence from the reference (nats) over size on disk (MiB)", divergences,
                    ChartScale::logarithmic) +
         size_chart("Perplexity over size on disk (MiB)", perplexities, ChartScale::linear) + "</body></html>\n";
}

void write_html(const Comparison& comparison, const std::string& path) { write_atomically(path, to_html(comparison)); }

}  // namespace powerhouse
