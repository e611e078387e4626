#include "calibration/gptq_layer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "calibration/hessian.h"
#include "powerhouse/error.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

// An expert that fewer tokens reach learns too little from them about what it will see.
constexpr std::int64_t kLeastTokens = 32;

// Of experts that are looked at in one pass; one is always taken.
constexpr std::size_t kBytesOfHessians = std::size_t{1} << 30;

using Key = std::pair<Role, std::int64_t>;  // of a map: its role, and its expert

// Maps that may be looked at in one pass, because none reads what another makes.
int step_of(Role role) {
  switch (role) {
    case Role::q_proj:
    case Role::k_proj:
    case Role::v_proj:
    case Role::qkv_proj: return 0;
    case Role::o_proj: return 1;
    case Role::gate_proj:
    case Role::up_proj:
    case Role::gate_up_proj:
    case Role::shared_gate_proj:
    case Role::shared_up_proj: return 2;
    case Role::down_proj:
    case Role::shared_down_proj: return 3;
    case Role::experts_gate_up: return 4;
    default: return 5;  // experts_down
  }
}

std::size_t bytes_of(const LinearTarget& target) {
  const auto columns = static_cast<std::size_t>(target.inputs());
  return columns * columns * sizeof(float);
}

class LayerQuantizer {
 public:
  LayerQuantizer(Model& model, std::int64_t layer, const GptqRule& rule)
      : weights_(model.weights), layer_(layer), rule_(rule) {
    for (LinearTarget& target : linear_targets(weights_, layer)) {
      check_group_size(target.inputs(), rule.group_size, target.name());
      places_[{target.role(), target.expert}] = done_.size();
      done_.push_back({.target = std::move(target)});
    }
  }

  void in_one_pass(LayerwiseRun& run) {
    at::Tensor last;  // what the map before read
    Hessian hessian;
    at::Tensor matrix;
    HessianFactor factor;
    run.advance(layer_, [&](std::int64_t, Role role, std::int64_t expert, const at::Tensor& x) {
      const auto place = places_.find({role, expert});
      if (place == places_.end()) return;
      const auto begin = std::chrono::steady_clock::now();
      QuantizedTarget& own = done_[place->second];
      if (!last.defined() || !x.is_same(last)) {
        last = x;
        hessian = {};
        hessian.add(x);
        matrix = hessian.matrix();
        factor = factor_of(own, hessian.tokens(), matrix);
      }
      solve(own, factor, matrix, hessian.tokens());
      own.report.seconds = seconds_since(begin);
    });
    finish();
  }

  void in_steps(LayerwiseRun& run, bool true_sequential) {
    std::vector<std::size_t> order(done_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto step = [&](std::size_t i) { return true_sequential ? step_of(done_[i].target.role()) : 0; };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return step(a) < step(b); });
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      std::size_t bytes = 0;
      while (end < order.size() && step(order[end]) == step(order[begin])) {
        bytes += bytes_of(done_[order[end]].target);
        if (end > begin && bytes > kBytesOfHessians) break;
        ++end;
      }
      one_step(run,
               {order.begin() + static_cast<std::ptrdiff_t>(begin), order.begin() + static_cast<std::ptrdiff_t>(end)},
               !true_sequential);
    }
    for (const auto& [own, values] : later_) own->target.matrix(weights_).copy_(values);
    finish();
    run.advance(layer_);
  }

  std::vector<QuantizedTarget> take() { return std::move(done_); }

 private:
  void one_step(LayerwiseRun& run, std::vector<std::size_t> places, bool later) {
    const auto begin = std::chrono::steady_clock::now();
    std::map<Key, Key> leaders;  // of maps that read the same input
    std::map<Key, Hessian> hessians;
    const auto in_step = [&](const Key& key) {
      const auto place = places_.find(key);
      return place != places_.end() && std::find(places.begin(), places.end(), place->second) != places.end();
    };
    const bool any_expert =
        std::any_of(places.begin(), places.end(), [&](std::size_t i) { return done_[i].target.expert >= 0; });
    std::size_t seen = 0;
    at::Tensor last;
    Key leader{};
    run.see(layer_, [&](std::int64_t, Role role, std::int64_t expert, const at::Tensor& x) {
      const Key key{role, expert};
      if (!in_step(key)) return;
      if (!last.defined() || !x.is_same(last)) {
        leader = key;
        last = x;
        hessians[key].add(x);
      }
      leaders[key] = leader;
      // A part begins anew; of experts nobody knows which come.
      if (!any_expert && ++seen == places.size()) {
        seen = 0;
        last.reset();
        throw LayerwiseRun::EndOfPart();
      }
    });
    std::map<Key, std::pair<HessianFactor, at::Tensor>> factors;
    for (const std::size_t place : places) {
      QuantizedTarget& own = done_[place];
      const Key key{own.target.role(), own.target.expert};
      const auto found = leaders.find(key);
      if (found == leaders.end()) continue;  // an expert without a token
      const Hessian& hessian = hessians.at(found->second);
      auto factor = factors.find(found->second);
      if (factor == factors.end()) {
        const at::Tensor matrix = hessian.matrix();
        factor = factors.emplace(found->second, std::pair(factor_of(own, hessian.tokens(), matrix), matrix)).first;
      }
      solve(own, factor->second.first, factor->second.second, hessian.tokens(), later);
    }
    for (const std::size_t place : places) {
      done_[place].report.seconds = seconds_since(begin) / static_cast<double>(places.size());
    }
  }

  HessianFactor factor_of(const QuantizedTarget& own, std::int64_t tokens, const at::Tensor& matrix) const {
    if (own.target.expert >= 0 && tokens < kLeastTokens) return {};
    return factor_hessian(matrix, rule_, own.target.name());
  }

  void solve(QuantizedTarget& own, const HessianFactor& factor, const at::Tensor& hessian, std::int64_t tokens,
             bool later = false) {
    const at::Tensor place = own.target.matrix(weights_);
    const at::Tensor matrix = place.contiguous();
    const std::string name = own.target.name();
    GptqSolution solution = solve_gptq(matrix, factor, rule_, name);
    const at::Tensor error = matrix.sub(solution.values);
    LinearReport& report = own.report;
    report.name = name;
    report.tokens = tokens;
    report.damp_percent = factor.damp_percent;
    report.weight_error = error.norm().item<double>() / std::max(1e-30, matrix.norm().item<double>());
    if (hessian.defined()) {
      const auto size = [&](const at::Tensor& x) {
        return std::sqrt(std::max(0.0, x.mm(hessian).mul_(x).sum().item<double>()));
      };
      report.output_error = size(error) / std::max(1e-30, size(matrix));
    }
    report.note = note_of(own, factor, tokens);
    own.codes = std::move(solution.codes);
    if (later) {
      later_.emplace_back(&own, solution.values);
    } else {
      place.copy_(solution.values);
    }
  }

  std::string note_of(const QuantizedTarget& own, const HessianFactor& factor, std::int64_t tokens) const {
    std::string note;
    const auto add = [&](const std::string& text) { note += (note.empty() ? "" : "; ") + text; };
    if (!factor.upper.defined()) {
      add(std::to_string(tokens) + " tokens reached it, rounded to nearest");
    } else if (const std::int64_t columns = own.target.inputs(); tokens < columns) {
      add(std::to_string(tokens) + " tokens for " + std::to_string(columns) + " inputs");
    }
    if (factor.damp_percent > rule_.damp_percent) {
      add("not positive definite until damped by " + std::to_string(factor.damp_percent));
    }
    if (factor.dead_columns > 0) add(std::to_string(factor.dead_columns) + " inputs are always zero");
    return note;
  }

  // Experts that no token reached.
  void finish() {
    for (QuantizedTarget& own : done_) {
      if (own.codes.codes.empty()) solve(own, {}, {}, 0);
    }
  }

  DecoderWeights& weights_;
  std::int64_t layer_;
  const GptqRule& rule_;
  std::vector<QuantizedTarget> done_;
  std::map<Key, std::size_t> places_;
  std::vector<std::pair<QuantizedTarget*, at::Tensor>> later_;
};

}  // namespace

std::size_t hessian_bytes(const Model& model) {
  std::size_t widest = 0;
  bool experts = false;
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (spec.layer < 0 || spec.is_bias || spec.shape.size() < 2) continue;
    widest = std::max(widest, static_cast<std::size_t>(spec.shape[spec.shape.size() - (spec.transposed ? 2 : 1)]));
    experts = experts || spec.shape.size() > 2;
  }
  return 6 * widest * widest * sizeof(float) + (experts ? kBytesOfHessians : 0);
}

std::vector<QuantizedTarget> quantize_layer(Model& model, LayerwiseRun& run, std::int64_t layer, const GptqRule& rule,
                                            bool true_sequential) {
  LayerQuantizer quantizer(model, layer, rule);
  if (run.parts() == 1 && true_sequential) {
    quantizer.in_one_pass(run);
  } else {
    quantizer.in_steps(run, true_sequential);
  }
  return quantizer.take();
}

}  // namespace powerhouse
