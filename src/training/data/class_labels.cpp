// What all rows' labels say together comes first (names or numbers, which kind of problem, how many labels); then each
// row's numbers.
#include "training/data/class_labels.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <span>

#include "training/data/columns.h"

namespace powerhouse::training {
namespace {

constexpr std::int64_t kMostLabels = 1 << 20;

struct Number {
  double value = 0;
  bool whole = true;  // written without a point
};

std::optional<Number> parse_number(const std::string& text) {
  const char* const end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto [stop, failure] = std::from_chars(text.data(), end, whole); failure == std::errc() && stop == end) {
    return Number{static_cast<double>(whole)};
  }
  double value = 0;
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return Number{value, false};
}

// Of a list its entries, else the label itself.
std::span<const Json> entries_of(const Json& label) {
  return label.is_array() ? std::span<const Json>(label.as_array()) : std::span<const Json>(&label, 1);
}

[[noreturn]] void refuse(const std::string& what, const std::string& expected, const Json& found) {
  throw Error(ErrorKind::format, what, {.field = "label", .expected = expected, .found = found.dump()});
}

class Labels {
 public:
  Labels(const std::vector<Json>& rows, const LabelOptions& options,
         const std::function<Error(std::size_t row, const Error& error)>& at)
      : rows_(rows), at_(at), names_(options.names), names_given_(!options.names.empty()), has_names_(names_given_) {
    check_names(options);
    find_names();
    type_ = options.problem_type == ProblemType::automatic ? found_type(options.num_labels) : options.problem_type;
    count_ = type_ == ProblemType::regression ? values_a_row(options.num_labels) : labels_in_all(options.num_labels);
    if (type_ == ProblemType::regression && !names_given_) names_.clear();
    for (std::int64_t i = std::ssize(names_); i < count_; ++i) names_.push_back("LABEL_" + std::to_string(i));
  }

  ClassLabels result() const {
    const bool one = type_ == ProblemType::single_label_classification;
    ClassLabels out{type_, names_, one ? 1 : static_cast<std::size_t>(count_), {}};
    out.values.reserve(rows_.size() * out.width);
    each_row([&](const Json& label) {
      const std::vector<float> values = numbers(label);
      out.values.insert(out.values.end(), values.begin(), values.end());
    });
    return out;
  }

 private:
  static void check_names(const LabelOptions& options) {
    const std::set<std::string> different(options.names.begin(), options.names.end());
    if (different.size() != options.names.size()) {
      throw Error(ErrorKind::usage, "a name twice", {.field = "labels"});
    }
    if (options.num_labels < 0 || options.num_labels > kMostLabels) {
      throw Error(ErrorKind::usage, "no such number of labels",
                  {.field = "num_labels", .expected = "0 to 2^20", .found = std::to_string(options.num_labels)});
    }
    if (options.problem_type == ProblemType::single_label_classification &&
        (options.num_labels == 1 || options.names.size() == 1)) {
      throw Error(ErrorKind::usage, "one label is no choice", {.field = "num_labels", .expected = "2 or more"});
    }
  }

  template <typename Take>
  void each_row(Take take) const {
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      try {
        take(rows_[row]);
      } catch (const Error& error) {
        throw at_(row, error);
      }
    }
  }

  // Texts are names where one of them is no number.
  void find_names() {
    if (names_given_) return;
    std::set<std::string> texts;
    bool numbers = true;
    for (const Json& label : rows_) {
      for (const Json& entry : entries_of(label)) {
        if (!entry.is_string()) continue;
        numbers = numbers && parse_number(entry.as_string()).has_value();
        texts.insert(entry.as_string());
      }
    }
    if (!numbers) names_.assign(texts.begin(), texts.end());
    has_names_ = !numbers;
  }

  std::optional<std::int64_t> named(const Json& entry) const {
    if (!has_names_ || !entry.is_string()) return std::nullopt;
    const auto found = names_given_ ? std::find(names_.begin(), names_.end(), entry.as_string())
                                    : std::lower_bound(names_.begin(), names_.end(), entry.as_string());
    if (found == names_.end() || *found != entry.as_string()) return std::nullopt;
    return found - names_.begin();
  }
  // Where names came from the files, a number is none of them.
  std::optional<Number> number(const Json& entry) const {
    if (entry.is_bool()) return Number{entry.as_bool() ? 1.0 : 0.0};
    if (entry.is_integer()) return Number{entry.as_double()};
    if (entry.is_number()) return Number{entry.as_double(), false};
    return parse_number(entry.as_string());
  }
  bool mixed(const Json& entry) const { return has_names_ && !names_given_ && !entry.is_string(); }

  ProblemType found_type(std::int64_t num_labels) const {
    bool points = false;
    for (const Json& label : rows_) {
      if (label.is_array()) return ProblemType::multi_label_classification;
      if (named(label)) continue;
      const auto value = number(label);
      points = points || (value && !value->whole);
    }
    return points || num_labels == 1 ? ProblemType::regression : ProblemType::single_label_classification;
  }

  std::int64_t values_a_row(std::int64_t num_labels) const {
    const std::int64_t width = std::ssize(entries_of(rows_.front()));
    const std::int64_t wanted = names_given_ ? std::ssize(names_) : num_labels;
    if (wanted != 0 && wanted != width) {
      throw Error(ErrorKind::usage, "rows have another number of values",
                  {.field = "num_labels", .expected = std::to_string(width), .found = std::to_string(wanted)});
    }
    return width;
  }

  // A list of one number for each label, instead of the labels that hold.
  static bool is_vector(const Json& label) {
    const std::span<const Json> entries = entries_of(label);
    const auto is_flag = [](const Json& entry) { return entry.is_bool() || entry.is_double(); };
    return label.is_array() && std::any_of(entries.begin(), entries.end(), is_flag);
  }

  std::int64_t labels_in_all(std::int64_t num_labels) const {
    const std::int64_t named_labels = std::ssize(names_);
    if (named_labels > 0 && num_labels > 0 && named_labels != num_labels) {
      throw Error(
          ErrorKind::usage, names_given_ ? "not as many names as labels" : "the files name others: give names",
          {.field = "num_labels", .expected = std::to_string(named_labels), .found = std::to_string(num_labels)});
    }
    if (named_labels > 0 || num_labels > 0) return std::max(named_labels, num_labels);
    std::int64_t count = type_ == ProblemType::single_label_classification ? 2 : 1;
    each_row([&](const Json& label) {
      if (is_vector(label)) {
        count = std::max(count, std::ssize(entries_of(label)));
        return;
      }
      for (const Json& entry : entries_of(label)) count = std::max(count, class_of(entry, kMostLabels) + 1);
    });
    return count;
  }

  std::int64_t class_of(const Json& entry, std::int64_t count) const {
    if (const auto id = named(entry)) return *id;
    const std::optional<Number> value = mixed(entry) ? std::nullopt : number(entry);
    const bool fits = value && value->value == std::floor(value->value) && value->value >= 0 &&
                      value->value < static_cast<double>(count);
    if (fits) return static_cast<std::int64_t>(value->value);
    const std::string ids = "0 to " + std::to_string(count - 1);
    refuse("no such class", !has_names_ ? ids : names_given_ ? "a name, or " + ids : "a name", entry);
  }

  std::vector<float> numbers(const Json& label) const {
    if (type_ == ProblemType::regression) return values(label);
    if (type_ == ProblemType::multi_label_classification) return flags(label);
    if (label.is_array()) refuse("a list where one class is wanted", "a number or a name", label);
    return {static_cast<float>(class_of(label, count_))};
  }

  std::vector<float> values(const Json& label) const {
    std::vector<float> out;
    for (const Json& entry : entries_of(label)) {
      const auto value = number(entry);
      if (!value || !std::isfinite(static_cast<float>(value->value))) {
        refuse("a label that is no number", "a finite number", entry);
      }
      out.push_back(static_cast<float>(value->value));
    }
    if (std::ssize(out) != count_) refuse("another number of values", std::to_string(count_) + " values", label);
    return out;
  }

  std::vector<float> flags(const Json& label) const {
    if (is_vector(label)) {
      std::vector<float> out = values(label);
      for (const float value : out) {
        if (value < 0 || value > 1) refuse("a label holds or not", "0.0 to 1.0", label);
      }
      return out;
    }
    std::vector<float> out(static_cast<std::size_t>(count_));
    for (const Json& entry : entries_of(label)) {
      float& flag = out[static_cast<std::size_t>(class_of(entry, count_))];
      if (flag == 1) refuse("a label twice", "labels that hold, or booleans or 0.0 and 1.0 for all", label);
      flag = 1;
    }
    return out;
  }

  const std::vector<Json>& rows_;
  const std::function<Error(std::size_t, const Error&)>& at_;
  std::vector<std::string> names_;
  bool names_given_;
  bool has_names_;  // given, or in the files
  ProblemType type_{};
  std::int64_t count_ = 0;
};

}  // namespace

Json read_label(const Json& columns, const std::string& field) {
  const bool plural = field.empty() && columns.get("label") == nullptr && columns.get("labels") != nullptr;
  const std::string name = !field.empty() ? field : plural ? "labels" : "label";
  Json label = column(columns, name);
  // CSV has lists as text.
  if (label.is_string() && label.as_string().starts_with('[')) label = Json(array_column(columns, name));
  for (const Json& entry : entries_of(label)) {
    if (entry.is_bool() || entry.is_number() || (entry.is_string() && !entry.as_string().empty())) continue;
    throw Error(ErrorKind::format, "no label",
                {.field = name,
                 .expected = "a number, a text, true or false, or a list of them",
                 .found = entry.is_string() ? "an empty text" : std::string(entry.type_name())});
  }
  return label;
}

ClassLabels class_labels(const std::vector<Json>& rows, const LabelOptions& options,
                         const std::function<Error(std::size_t row, const Error& error)>& at) {
  return Labels(rows, options, at).result();
}

}  // namespace powerhouse::training
