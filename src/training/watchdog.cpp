#include "training/watchdog.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::size_t kWindow = 50;
constexpr std::size_t kFewest = 10;  // losses before a median says anything

}  // namespace

double Watchdog::median() const {
  std::vector<double> sorted(recent_.begin(), recent_.end());
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2), sorted.end());
  return sorted[sorted.size() / 2];
}

Watchdog::Verdict Watchdog::judge(double loss, std::string& reason) {
  if (!std::isfinite(loss)) {
    reason = "the loss is not finite";
    not_finite("loss");
    return Verdict::skip;
  }
  const bool above = options_.threshold > 0 && loss > options_.threshold;
  const bool jumped = options_.factor > 0 && recent_.size() >= kFewest && loss > options_.factor * median();
  if (!above && !jumped) {
    spikes_ = 0;
    recent_.push_back(loss);
    if (recent_.size() > kWindow) recent_.pop_front();
    return Verdict::good;
  }
  reason = "the loss jumps to " + std::to_string(loss);
  if (++spikes_ < options_.patience) return Verdict::skip;
  if (++rollbacks_ > options_.max_rollbacks) {
    throw Error(ErrorKind::numeric, "the loss stays too high after going back to a checkpoint",
                {.field = "loss", .found = std::to_string(loss)});
  }
  return Verdict::roll_back;
}

void Watchdog::not_finite(const std::string& what) {
  if (++not_finite_ < options_.max_not_finite) return;
  throw Error(ErrorKind::numeric, "no finite numbers for " + std::to_string(not_finite_) + " steps", {.field = what});
}

Json Watchdog::state() const {
  JsonObject state;
  Json::Array recent;
  for (const double loss : recent_) recent.emplace_back(loss);
  state["recent"] = std::move(recent);
  state["spikes"] = spikes_;
  state["not_finite"] = not_finite_;
  state["rollbacks"] = rollbacks_;
  return state;
}

void Watchdog::restore(const Json& state) {
  recent_.clear();
  for (const Json& loss : state.at("recent").as_array("recent")) recent_.push_back(loss.as_double("recent"));
  spikes_ = state.at("spikes").as_integer("spikes");
  not_finite_ = state.at("not_finite").as_integer("not_finite");
  rollbacks_ = state.at("rollbacks").as_integer("rollbacks");
}

}  // namespace powerhouse
