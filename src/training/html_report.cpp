#include "training/html_report.h"

#include <algorithm>

namespace powerhouse {
namespace {

struct Point {
  double x = 0, y = 0;
};
using Curve = std::vector<Point>;

constexpr std::size_t kMostPoints = 800;

Curve curve_of(std::span<const Json> rows, std::string_view key) {
  Curve curve;
  for (const Json& row : rows) {
    const Json* value = row.get(key);
    const Json* step = row.get("step");
    if (value == nullptr || step == nullptr || !value->is_number() || !step->is_number()) continue;
    const Point point{step->as_double(), value->as_double()};
    // After a rollback steps come again: the later ones count.
    while (!curve.empty() && curve.back().x >= point.x) curve.pop_back();
    curve.push_back(point);
  }
  return curve;
}

// As many points as a screen has room for: means of equal shares.
Curve thinned(const Curve& curve) {
  if (curve.size() <= kMostPoints) return curve;
  Curve out;
  for (std::size_t i = 0; i < kMostPoints; ++i) {
    const std::size_t begin = i * curve.size() / kMostPoints, end = (i + 1) * curve.size() / kMostPoints;
    Point sum;
    for (std::size_t j = begin; j < end; ++j) {
      sum.x += curve[j].x;
      sum.y += curve[j].y;
    }
    const auto count = static_cast<double>(end - begin);
    out.push_back({sum.x / count, sum.y / count});
  }
  return out;
}

Curve running_mean(const Curve& curve) {
  Curve out;
  const double keep = curve.size() < 20 ? 0.5 : 1.0 - 10.0 / static_cast<double>(curve.size());
  double mean = 0, weight = 0;
  for (const Point& point : curve) {
    mean = keep * mean + (1 - keep) * point.y;
    weight = keep * weight + (1 - keep);
    out.push_back({point.x, mean / weight});
  }
  return out;
}

struct Line {
  const char* name;
  const char* color;
  double width;
  bool dots;
  Curve curve;
};

ChartRange range_of(const std::vector<Line>& lines, double Point::*coordinate) {
  ChartRange range;
  for (const Line& line : lines) {
    for (const Point& point : line.curve) range.include(point.*coordinate);
  }
  return range;
}

std::string chart(const std::string& title, std::vector<Line> lines) {
  std::erase_if(lines, [](const Line& line) { return line.curve.empty(); });
  if (lines.empty()) return "";
  const ChartFrame frame(range_of(lines, &Point::x), range_of(lines, &Point::y));
  const auto at = chart_place;
  std::string svg = frame.begin(title);
  for (const Line& line : lines) {
    svg += "<polyline fill=\"none\" stroke=\"" + std::string(line.color) + "\" stroke-width=\"" + at(line.width) +
           "\" points=\"";
    for (const Point& point : thinned(line.curve)) svg += at(frame.x_of(point.x)) + "," + at(frame.y_of(point.y)) + " ";
    svg += "\"/>\n";
    for (const Point& point : line.dots ? thinned(line.curve) : Curve{}) {
      svg += "<circle r=\"3\" fill=\"" + std::string(line.color) + "\" cx=\"" + at(frame.x_of(point.x)) + "\" cy=\"" +
             at(frame.y_of(point.y)) + "\"><title>step " + chart_number(point.x, "%.6g") + ": " +
             chart_number(point.y, "%.6g") + "</title></circle>\n";
    }
  }
  svg += "</svg>\n<p class=\"legend\">";
  for (const Line& line : lines) {
    svg += "<span style=\"color:" + std::string(line.color) + "\">&#9632;</span> " + line.name + ", last " +
           chart_number(line.curve.back().y) + " &nbsp; ";
  }
  return svg + "</p>\n";
}

// What rows of steps and evaluations say of every method; the rest are metrics of one.
constexpr std::string_view kOwnKeys[] = {"step",
                                         "epoch",
                                         "loss",
                                         "learning_rate",
                                         "grad_norm",
                                         "tokens",
                                         "skipped",
                                         "tokens_per_second",
                                         "target_tokens",
                                         "eval_loss",
                                         "peak_memory_bytes",
                                         "eval_seconds",
                                         "eval_target_tokens"};
constexpr std::string_view kEval = "eval_", kChosen = "/chosen", kRejected = "/rejected";

// The metrics in their order, without "eval_"; of a pair's two ("rewards/chosen", "rewards/rejected") what they share.
std::vector<std::string> metric_titles(std::span<const Json> rows) {
  std::vector<std::string> titles;
  for (const Json& row : rows) {
    if (row.get("event") != nullptr) continue;
    for (const auto& [key, value] : row.as_object()) {
      if (std::find(std::begin(kOwnKeys), std::end(kOwnKeys), key) != std::end(kOwnKeys)) continue;
      std::string_view name = key;
      if (name.starts_with(kEval)) name.remove_prefix(kEval.size());
      for (const std::string_view end : {kChosen, kRejected}) {
        if (name.ends_with(end)) name.remove_suffix(end.size());
      }
      if (std::find(titles.begin(), titles.end(), name) == titles.end()) titles.emplace_back(name);
    }
  }
  return titles;
}

std::string metric_chart(const std::string& title, std::span<const Json> rows) {
  const auto curve = [&](std::string_view before, std::string_view after) {
    return curve_of(rows, std::string(before) + title + std::string(after));
  };
  return chart(html_escaped(title), {{"training", "#3a7d44", 1, false, curve("", "")},
                                     {"held-back rows", "#3a7d44", 2, true, curve(kEval, "")},
                                     {"chosen", "#1f5fa8", 1, false, curve("", kChosen)},
                                     {"chosen, held-back rows", "#1f5fa8", 2, true, curve(kEval, kChosen)},
                                     {"rejected", "#d1495b", 1, false, curve("", kRejected)},
                                     {"rejected, held-back rows", "#d1495b", 2, true, curve(kEval, kRejected)}});
}

}  // namespace

std::string html_report(const std::string& title, const Facts& facts, std::span<const Json> rows) {
  std::string html = html_page_begin(title) + html_facts(facts);
  const Curve loss = curve_of(rows, "loss");
  html += chart("Loss", {{"training, each step", "#b9cfe8", 1, false, loss},
                         {"training, running mean", "#1f5fa8", 2, false, running_mean(loss)},
                         {"held-back rows", "#d1495b", 2, true, curve_of(rows, "eval_loss")}});
  for (const std::string& title : metric_titles(rows)) html += metric_chart(title, rows);
  html += chart("Learning rate", {{"learning rate", "#3a7d44", 2, false, curve_of(rows, "learning_rate")}});
  html += chart("Gradient norm", {{"before clipping", "#8f5db7", 1, false, curve_of(rows, "grad_norm")}});
  html += chart("Tokens a second", {{"tokens/s", "#c77d1e", 1, false, curve_of(rows, "tokens_per_second")}});
  Curve memory = curve_of(rows, "peak_memory_bytes");
  for (Point& point : memory) point.y /= 1073741824.0;
  html += chart("Peak memory", {{"GiB", "#555555", 2, false, memory}});
  return html + "</body></html>\n";
}

}  // namespace powerhouse
