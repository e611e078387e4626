// Shape: how a row's columns become token ids and labels. One file a shape; names and semantics are Axolotl's, those of
// prompt_completion TRL's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "powerhouse/dataset.h"
#include "training/data/record_file.h"

namespace powerhouse::training {

struct ShapedRow {
  TrainingExample example;    // of any length
  bool empty_target = false;  // the answer to be learned is empty
  bool lost_turn = false;     // a turn to be trained does not show in the template's text
};

class Shape {
 public:
  virtual ~Shape() = default;
  /// Safe from several threads. Error{format} names the column.
  virtual ShapedRow apply(const Record& row) const = 0;
  /// All that a row's tokens are made from, so that equal rows have equal content whatever file they stand in.
  virtual std::string content(const Record& row) const = 0;
  /// Rows over sequence_len are cut into several rather than dropped.
  virtual bool cuts_long_rows() const { return false; }
};

/// The shape of the first row's columns. Error{format} lists them where none fits.
std::string detect_shape(const Json& columns, const std::string& path);
/// Error{usage} for an unknown type; what the shape needs of the tokenizer is checked here.
std::unique_ptr<Shape> make_shape(const Tokenizer& tokenizer, const DatasetSource& source,
                                  const DatasetOptions& options);

std::unique_ptr<Shape> make_alpaca(const Tokenizer& tokenizer, const DatasetOptions& options);
std::unique_ptr<Shape> make_completion(const Tokenizer& tokenizer, const DatasetSource& source);
std::unique_ptr<Shape> make_input_output(const Tokenizer& tokenizer, const DatasetOptions& options);
std::unique_ptr<Shape> make_prompt_completion(const Tokenizer& tokenizer, const DatasetSource& source,
                                              const DatasetOptions& options);
/// chat_template, and sharegpt with its own defaults filled in.
std::unique_ptr<Shape> make_chat(const Tokenizer& tokenizer, const DatasetSource& source,
                                 const DatasetOptions& options);

}  // namespace powerhouse::training
