// Shapes without a chat template: alpaca, completion, input_output.
#include "powerhouse/error.h"
#include "training/data/columns.h"
#include "training/data/shape.h"

namespace powerhouse::training {
namespace {

// Stanford Alpaca's two prompts (instruction, input, output): prompt and answer are tokenized apart, EOS behind.
class Alpaca final : public Shape {
 public:
  Alpaca(const Tokenizer& tokenizer, bool train_on_inputs) : tokenizer_(tokenizer), train_on_inputs_(train_on_inputs) {}

  ShapedRow apply(const Record& row) const override {
    const std::string& instruction = text_column(row.columns, "instruction");
    const std::string input = optional_text(row.columns, "input");
    const std::string& output = text_column(row.columns, "output");
    const std::string prompt =
        input.empty()
            ? "Below is an instruction that describes a task. Write a response that appropriately completes the "
              "request.\n\n### Instruction:\n" +
                  instruction + "\n\n### Response:\n"
            : "Below is an instruction that describes a task, paired with an input that provides further context. "
              "Write a response that appropriately completes the request.\n\n### Instruction:\n" +
                  instruction + "\n\n### Input:\n" + input + "\n\n### Response:\n";
    ShapedRow out;
    append_ids(out.example, encode_part(tokenizer_, prompt, true, false), train_on_inputs_);
    append_ids(out.example, encode_part(tokenizer_, output, false, true), true);
    out.empty_target = output.empty();
    return out;
  }

  std::string content(const Record& row) const override {
    std::string out;
    append_part(out, text_column(row.columns, "instruction"));
    append_part(out, optional_text(row.columns, "input"));
    append_part(out, text_column(row.columns, "output"));
    return out;
  }

 private:
  Tokenizer tokenizer_;
  bool train_on_inputs_;
};

// One text, every token a target, EOS behind. Pieces of one document have BOS and EOS at its ends only.
class Completion final : public Shape {
 public:
  Completion(const Tokenizer& tokenizer, std::string field) : tokenizer_(tokenizer), field_(std::move(field)) {}

  ShapedRow apply(const Record& row) const override {
    const std::string& text = text_column(row.columns, field_);
    ShapedRow out;
    append_ids(out.example, encode_part(tokenizer_, text, row.starts, row.ends), true);
    out.empty_target = text.empty();
    return out;
  }

  std::string content(const Record& row) const override { return text_column(row.columns, field_); }
  bool cuts_long_rows() const override { return true; }

 private:
  Tokenizer tokenizer_;
  std::string field_;
};

// segments [{"text", "label"}], as they are: nothing is added between or around them.
class InputOutput final : public Shape {
 public:
  InputOutput(const Tokenizer& tokenizer, bool train_on_inputs)
      : tokenizer_(tokenizer), train_on_inputs_(train_on_inputs) {}

  ShapedRow apply(const Record& row) const override {
    ShapedRow out;
    bool any = false;
    for (const Json& segment : array_column(row.columns, "segments")) {
      if (!segment.is_object()) {
        throw Error(ErrorKind::format, "wrong type",
                    {.field = "segments", .expected = "objects", .found = std::string(segment.type_name())});
      }
      const bool label = column(segment, "label").as_bool("label");
      const std::string& text = text_column(segment, "text");
      append_ids(out.example, tokenizer_.encode(text, {.add_special_tokens = false}), label || train_on_inputs_);
      any = any || (label && !text.empty());
      out.empty_target = out.empty_target || label;
    }
    out.empty_target = out.empty_target && !any;
    return out;
  }

  std::string content(const Record& row) const override {
    std::string out;
    for (const Json& segment : array_column(row.columns, "segments")) {
      append_part(out, text_column(segment, "text"));
      append_part(out, column(segment, "label").as_bool("label") ? "1" : "0");
    }
    return out;
  }

 private:
  Tokenizer tokenizer_;
  bool train_on_inputs_;
};

}  // namespace

std::unique_ptr<Shape> make_alpaca(const Tokenizer& tokenizer, const DatasetOptions& options) {
  return std::make_unique<Alpaca>(tokenizer, options.train_on_inputs);
}

std::unique_ptr<Shape> make_completion(const Tokenizer& tokenizer, const DatasetSource& source) {
  return std::make_unique<Completion>(tokenizer, source.field);
}

std::unique_ptr<Shape> make_input_output(const Tokenizer& tokenizer, const DatasetOptions& options) {
  return std::make_unique<InputOutput>(tokenizer, options.train_on_inputs);
}

}  // namespace powerhouse::training
