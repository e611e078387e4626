#include "training/html_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace powerhouse {
namespace {

struct Point {
  double x = 0, y = 0;
};
using Curve = std::vector<Point>;

constexpr double kWidth = 860, kHeight = 260, kLeft = 70, kRight = 12, kTop = 12, kBottom = 34;
constexpr std::size_t kMostPoints = 800;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string number(double value, const char* format = "%.4g") {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

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

struct Range {
  double low = 0, high = 1;
};

Range range_of(const std::vector<Line>& lines, double Point::*coordinate) {
  bool any = false;
  Range range;
  for (const Line& line : lines) {
    for (const Point& point : line.curve) {
      const double value = point.*coordinate;
      range.low = any ? std::min(range.low, value) : value;
      range.high = any ? std::max(range.high, value) : value;
      any = true;
    }
  }
  if (range.high <= range.low) range.high = range.low + std::max(1e-12, std::abs(range.low) * 0.1);
  return range;
}

// 1, 2 or 5 times a power of ten, so that about `count` of them fit.
double tick_step(const Range& range, int count) {
  const double raw = (range.high - range.low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

std::string chart(const std::string& title, std::vector<Line> lines) {
  std::erase_if(lines, [](const Line& line) { return line.curve.empty(); });
  if (lines.empty()) return "";
  const Range xs = range_of(lines, &Point::x), ys = range_of(lines, &Point::y);
  const auto x_of = [&](double x) { return kLeft + (x - xs.low) / (xs.high - xs.low) * (kWidth - kLeft - kRight); };
  const auto y_of = [&](double y) {
    return kHeight - kBottom - (y - ys.low) / (ys.high - ys.low) * (kHeight - kTop - kBottom);
  };
  const auto at = [](double value) { return number(value, "%.1f"); };
  std::string svg = "<h2>" + title + "</h2>\n<svg viewBox=\"0 0 " + at(kWidth) + " " + at(kHeight) +
                    "\" role=\"img\" aria-label=\"" + title + "\">\n";
  const double step_y = tick_step(ys, 5), step_x = tick_step(xs, 8);
  for (double y = std::ceil(ys.low / step_y) * step_y; y <= ys.high + step_y * 1e-9; y += step_y) {
    svg += "<line class=\"grid\" x1=\"" + at(kLeft) + "\" x2=\"" + at(kWidth - kRight) + "\" y1=\"" + at(y_of(y)) +
           "\" y2=\"" + at(y_of(y)) + "\"/><text x=\"" + at(kLeft - 6) + "\" y=\"" + at(y_of(y) + 4) +
           "\" text-anchor=\"end\">" + number(std::abs(y) < step_y * 1e-9 ? 0 : y) + "</text>\n";
  }
  for (double x = std::ceil(xs.low / step_x) * step_x; x <= xs.high + step_x * 1e-9; x += step_x) {
    svg += "<text x=\"" + at(x_of(x)) + "\" y=\"" + at(kHeight - 14) + "\" text-anchor=\"middle\">" +
           number(x, "%.6g") + "</text>\n";
  }
  for (const Line& line : lines) {
    svg += "<polyline fill=\"none\" stroke=\"" + std::string(line.color) + "\" stroke-width=\"" + at(line.width) +
           "\" points=\"";
    for (const Point& point : thinned(line.curve)) svg += at(x_of(point.x)) + "," + at(y_of(point.y)) + " ";
    svg += "\"/>\n";
    for (const Point& point : line.dots ? thinned(line.curve) : Curve{}) {
      svg += "<circle r=\"3\" fill=\"" + std::string(line.color) + "\" cx=\"" + at(x_of(point.x)) + "\" cy=\"" +
             at(y_of(point.y)) + "\"><title>step " + number(point.x, "%.6g") + ": " + number(point.y, "%.6g") +
             "</title></circle>\n";
    }
  }
  svg += "</svg>\n<p class=\"legend\">";
  for (const Line& line : lines) {
    svg += "<span style=\"color:" + std::string(line.color) + "\">&#9632;</span> " + line.name + ", last " +
           number(line.curve.back().y) + " &nbsp; ";
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
  return chart(escaped(title), {{"training", "#3a7d44", 1, false, curve("", "")},
                                {"held-back rows", "#3a7d44", 2, true, curve(kEval, "")},
                                {"chosen", "#1f5fa8", 1, false, curve("", kChosen)},
                                {"chosen, held-back rows", "#1f5fa8", 2, true, curve(kEval, kChosen)},
                                {"rejected", "#d1495b", 1, false, curve("", kRejected)},
                                {"rejected, held-back rows", "#d1495b", 2, true, curve(kEval, kRejected)}});
}

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .3em}svg{width:100%;height:auto;background:#fafafa}"
    "svg text{font-size:11px;fill:#555}.grid{stroke:#ddd}.legend{margin:.2em 0;font-size:.9em}"
    "table{border-collapse:collapse}td{padding:.1em 1em .1em 0;vertical-align:top}td:first-child{color:#666}";

}  // namespace

std::string html_report(const std::string& title, const Facts& facts, std::span<const Json> rows) {
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escaped(title) +
                     "</title><style>" + kStyle + "</style></head><body>\n<h1>" + escaped(title) + "</h1>\n<table>\n";
  for (const auto& [name, value] : facts) {
    html += "<tr><td>" + escaped(name) + "</td><td>" + escaped(value) + "</td></tr>\n";
  }
  html += "</table>\n";
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
