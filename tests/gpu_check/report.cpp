#include "gpu_check/report.h"

#include <cmath>
#include <stdexcept>

namespace powerhouse::gpu_check {

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "null";  // JSON has no other word for it
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace

Report::Report(const std::string& path) : file_(std::fopen(path.c_str(), "a")) {
  if (file_ == nullptr) throw std::runtime_error("can't write " + path);
}

Report::~Report() { std::fclose(file_); }

void Report::line(const std::string& kind, const Words& words, const Numbers& numbers) {
  std::string text = "{\"kind\": " + quoted(kind);
  for (const auto& [key, value] : words) text += ", " + quoted(key) + ": " + quoted(value);
  for (const auto& [key, value] : numbers) text += ", " + quoted(key) + ": " + number_text(value);
  text += "}";
  std::fprintf(file_, "%s\n", text.c_str());
  std::fflush(file_);
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void Report::left_out(const std::string& what, const std::string& why) {
  line("left_out", {{"what", what}, {"why", why}}, {});
}

Checked::Checked(Report& report, const Machine& machine, std::string kernel)
    : report_(report), machine_(machine), kernel_(std::move(kernel)) {}

Checked::~Checked() {
  if (cases_ == 0) failed_ = "no case ran";
  const bool good = failures_ == 0 && cases_ > 0;
  ++report_.checks;
  if (!good) ++report_.failures;
  report_.line("check",
               {{"kernel", kernel_}, {"result", good ? "right" : "wrong"}, {"worst", worst_}, {"failed", failed_}},
               {{"cases", static_cast<double>(cases_)},
                {"failures", static_cast<double>(failures_)},
                {"error", error_},
                {"allowed", allowed_}});
}

void Checked::number(const std::string& what, double error, double allowed) {
  ++cases_;
  const bool good = error <= allowed;  // false for NaN
  if (!good) {
    ++failures_;
    if (failed_.empty()) failed_ = what + ": " + std::to_string(error) + ", at most " + std::to_string(allowed);
  }
  const double share = allowed > 0 ? error / allowed : error > 0 ? INFINITY : 0;
  if (share > share_ || share != share) {
    share_ = share;
    error_ = error;
    allowed_ = allowed;
    worst_ = what;
  }
}

void Checked::tensor(const std::string& what, const at::Tensor& found, double allowed, const at::Tensor& expected) {
  number(what, error_of(machine_, found, expected), allowed);
}

void Checked::tensor(const std::string& what, const at::Tensor& found, double allowed,
                     const std::function<at::Tensor(at::ScalarType wide)>& expected) {
  tensor(what + ", float64", found, allowed, expected(at::kDouble));
  tensor(what + ", float32", found, allowed + 1e-5, expected(at::kFloat));
}

void Checked::launched(const std::string& what, bool taken) { number(what + " has a kernel", taken ? 0 : 1, 0); }

}  // namespace powerhouse::gpu_check
