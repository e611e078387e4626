#include "support/html_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace powerhouse {
namespace {

constexpr double kWidth = 860, kLeft = 70, kRight = 12, kTop = 12, kBottom = 34;

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .3em}svg{width:100%;height:auto;background:#fafafa}"
    "svg text{font-size:11px;fill:#555}.grid{stroke:#ddd}.legend{margin:.2em 0;font-size:.9em}"
    "table{border-collapse:collapse}td{padding:.1em 1em .1em 0;vertical-align:top}td:first-child{color:#666}"
    ".numbers td,.numbers th{padding:.1em .7em .1em 0;text-align:right;font-weight:normal;white-space:nowrap}"
    ".numbers td:first-child,.numbers th:first-child{text-align:left;color:#222}.numbers th{color:#666}";

// 1, 2 or 5 times a power of ten, so that about `count` of them fit.
double tick_step(double width, int count) {
  const double raw = width / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

std::vector<double> linear_ticks(double low, double high, int count) {
  const double step = tick_step(high - low, count);
  std::vector<double> ticks;
  for (double value = std::ceil(low / step) * step; value <= high + step * 1e-9; value += step) {
    ticks.push_back(std::abs(value) < step * 1e-9 ? 0 : value);
  }
  return ticks;
}

}  // namespace

std::string html_escaped(std::string_view text) {
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

std::string chart_number(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string chart_place(double value) { return chart_number(value, "%.1f"); }

std::string html_page_begin(const std::string& title) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + html_escaped(title) +
         "</title><style>" + kStyle + "</style></head><body>\n<h1>" + html_escaped(title) + "</h1>\n";
}

std::string html_facts(const Facts& facts) {
  std::string html = "<table>\n";
  for (const auto& [name, value] : facts) {
    html += "<tr><td>" + html_escaped(name) + "</td><td>" + html_escaped(value) + "</td></tr>\n";
  }
  return html + "</table>\n";
}

void ChartRange::include(double value) {
  low_ = any_ ? std::min(low_, value) : value;
  high_ = any_ ? std::max(high_, value) : value;
  any_ = true;
}

void ChartRange::widen(double share) {
  const double more = (high() - low_) * share;
  low_ -= more;
  high_ = high() + more;
}

double ChartRange::high() const { return high_ > low_ ? high_ : low_ + std::max(1e-12, std::abs(low_) * 0.1); }

ChartFrame::ChartFrame(const ChartRange& x, const ChartRange& y, ChartScale y_scale, double height)
    : x_low_(x.low()),
      x_high_(x.high()),
      y_low_(y.low()),
      y_high_(y.high()),
      logarithmic_(y_scale == ChartScale::logarithmic),
      height_(height) {
  if (!logarithmic_) return;
  y_low_ = std::log10(y_low_);
  y_high_ = std::log10(y_high_);
}

double ChartFrame::x_of(double value) const {
  return kLeft + (value - x_low_) / (x_high_ - x_low_) * (kWidth - kLeft - kRight);
}

double ChartFrame::y_of(double value) const {
  const double at = logarithmic_ ? std::log10(value) : value;
  return height_ - kBottom - (at - y_low_) / (y_high_ - y_low_) * (height_ - kTop - kBottom);
}

double ChartFrame::width() const { return kWidth; }

std::vector<double> ChartFrame::y_ticks() const {
  if (!logarithmic_) return linear_ticks(y_low_, y_high_, 5);
  // Of few decades also what lies between them.
  const double decades = y_high_ - y_low_;
  std::vector<double> ticks;
  for (double power = std::floor(y_low_); power <= y_high_; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double at = power + std::log10(factor);
      if ((factor == 1.0 || decades < 3) && at >= y_low_ && at <= y_high_) ticks.push_back(std::pow(10.0, at));
    }
  }
  return ticks;
}

std::string ChartFrame::begin(const std::string& title) const {
  std::string svg = "<h2>" + title + "</h2>\n<svg viewBox=\"0 0 " + chart_place(kWidth) + " " + chart_place(height_) +
                    "\" role=\"img\" aria-label=\"" + title + "\">\n";
  for (const double y : y_ticks()) {
    svg += "<line class=\"grid\" x1=\"" + chart_place(kLeft) + "\" x2=\"" + chart_place(kWidth - kRight) + "\" y1=\"" +
           chart_place(y_of(y)) + "\" y2=\"" + chart_place(y_of(y)) + "\"/><text x=\"" + chart_place(kLeft - 6) +
           "\" y=\"" + chart_place(y_of(y) + 4) + "\" text-anchor=\"end\">" + chart_number(y) + "</text>\n";
  }
  for (const double x : linear_ticks(x_low_, x_high_, 8)) {
    svg += "<text x=\"" + chart_place(x_of(x)) + "\" y=\"" + chart_place(height_ - 14) + "\" text-anchor=\"middle\">" +
           chart_number(x, "%.6g") + "</text>\n";
  }
  return svg;
}

}  // namespace powerhouse
