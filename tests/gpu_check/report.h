// What the check found, one JSON object a line: scripts/gpu_report.py makes a file and a page of it.
#pragma once

#include <cstdio>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "gpu_check/machine.h"

namespace powerhouse::gpu_check {

class Report {
 public:
  /// Appends to the file.
  explicit Report(const std::string& path);
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  using Numbers = std::vector<std::pair<std::string, double>>;
  using Words = std::vector<std::pair<std::string, std::string>>;
  void line(const std::string& kind, const Words& words, const Numbers& numbers);
  /// What was not measured, and why: never passed over in silence.
  void left_out(const std::string& what, const std::string& why);

  int checks = 0;    ///< kernels' checks that ended
  int failures = 0;  ///< of them, and groups that broke

 private:
  std::FILE* file_;
};

/// The cases of one kernel, and the worst of them.
class Checked {
 public:
  Checked(Report& report, const Machine& machine, std::string kernel);
  ~Checked();
  Checked(const Checked&) = delete;
  Checked& operator=(const Checked&) = delete;

  /// A number that must not be above `allowed`.
  void number(const std::string& what, double error, double allowed);
  /// Tensors, as parts of the largest value: `expected(type)` is computed in float64 and in float32.
  void tensor(const std::string& what, const at::Tensor& found, double allowed,
              const std::function<at::Tensor(at::ScalarType wide)>& expected);
  /// One tensor to compare with.
  void tensor(const std::string& what, const at::Tensor& found, double allowed, const at::Tensor& expected);
  void launched(const std::string& what, bool taken);

 private:
  Report& report_;
  const Machine& machine_;
  std::string kernel_, worst_{}, failed_{};
  int cases_ = 0, failures_ = 0;
  double error_ = 0, allowed_ = 0, share_ = -1;
};

}  // namespace powerhouse::gpu_check
