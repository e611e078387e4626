// Labels of rows as files have them (numbers, names, lists of either), made one kind of problem for all rows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "powerhouse/error.h"
#include "powerhouse/sequence_head.h"
#include "support/json.h"

namespace powerhouse::training {

struct LabelOptions {
  std::vector<std::string> names{};
  std::int64_t num_labels = 0;
  ProblemType problem_type = ProblemType::automatic;
};

struct ClassLabels {
  ProblemType problem_type{};
  std::vector<std::string> names{};
  std::size_t width = 0;        // numbers a row
  std::vector<float> values{};  // [rows, width]
};

/// A row's label: a number, a text, a boolean, or a list of them. Error{format} for anything else.
Json read_label(const Json& columns, const std::string& field);

/// `at(row, error)` says where a row's error is. Error{usage} for options that don't fit together or to the files'
/// names, Error{format} for a label that is none.
ClassLabels class_labels(const std::vector<Json>& rows, const LabelOptions& options,
                         const std::function<Error(std::size_t row, const Error& error)>& at);

}  // namespace powerhouse::training
