// Pages that need nothing else, no script and no server: their head, and charts as SVG. What reports of runs and of
// comparisons share.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace powerhouse {

std::string html_escaped(std::string_view text);
/// "0.3071", as printf has it.
std::string chart_number(double value, const char* format = "%.4g");

/// From the doctype to the heading.
std::string html_page_begin(const std::string& title);
/// A table of two columns.
using Facts = std::vector<std::pair<std::string, std::string>>;
std::string html_facts(const Facts& facts);

/// The numbers of an axis. Empty until it includes one.
class ChartRange {
 public:
  void include(double value);
  /// Some room at both ends, as a share of what there is.
  void widen(double share);
  /// Never of no width.
  double low() const { return low_; }
  double high() const;

 private:
  bool any_ = false;
  double low_ = 0, high_ = 1;
};

enum class ChartScale { linear, logarithmic };

/// A frame with a grid, and where numbers lie in it.
class ChartFrame {
 public:
  /// A logarithmic axis takes positive numbers only.
  ChartFrame(const ChartRange& x, const ChartRange& y, ChartScale y_scale = ChartScale::linear, double height = 260);

  double x_of(double value) const;
  double y_of(double value) const;
  double width() const;
  /// The heading, `<svg>`, the grid and the numbers at it; whoever draws closes `</svg>`. `title` is HTML.
  std::string begin(const std::string& title) const;

 private:
  std::vector<double> y_ticks() const;

  double x_low_, x_high_, y_low_, y_high_;
  bool logarithmic_;
  double height_;
};

/// A place in an image, to a tenth.
std::string chart_place(double value);

}  // namespace powerhouse
