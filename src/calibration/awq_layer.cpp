#include "calibration/awq_layer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "calibration/awq_groups.h"
#include "calibration/gptq_solver.h"
#include "calibration/hessian.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

GptqRule rule_of(const AwqOptions& options) {
  return {.grid = {.bits = 4, .symmetric = false}, .group_size = options.group_size};
}

GptqSolution nearest(const at::Tensor& matrix, const AwqOptions& options, const std::string& name) {
  return solve_gptq(matrix, {}, rule_of(options), name);
}

std::int64_t group_of(const AwqOptions& options, std::int64_t columns) {
  return options.group_size == -1 ? columns : options.group_size;
}

// What a map's inputs were.
struct Inputs {
  Hessian hessian{};
  at::Tensor magnitudes{};  // sums of |x|, float32 [in]
  std::int64_t tokens = 0;

  void add(const at::Tensor& x, bool with_hessian) {
    const at::Tensor sums = x.abs().sum({0});
    magnitudes = magnitudes.defined() ? magnitudes.add(sums) : sums;
    tokens += x.size(0);
    if (with_hessian) hessian.add(x);
  }
};

// Mean |w| of each column, each group of a row having a largest of 1.
at::Tensor weight_means(const std::vector<at::Tensor>& matrices, std::int64_t group) {
  at::Tensor sum;
  std::int64_t rows = 0;
  for (const at::Tensor& matrix : matrices) {
    const at::Tensor parts = matrix.abs().unflatten(1, {-1, group});
    const at::Tensor own = parts.div(parts.amax({2}, /*keepdim=*/true).add(1e-6)).flatten(1).sum({0});
    sum = sum.defined() ? sum.add(own) : own;
    rows += matrix.size(0);
  }
  return sum.div(static_cast<double>(rows));
}

double quadratic(const at::Tensor& error, const at::Tensor& hessian) {
  return std::max(0.0, error.mm(hessian).mul_(error).sum().item<double>());
}

// The same of inputs that were divided by `scale`.
at::Tensor rescaled(const at::Tensor& hessian, const at::Tensor& scale) {
  return scale.defined() ? hessian.div(scale.unsqueeze(0)).div_(scale.unsqueeze(1)) : hessian;
}

bool reads_attention(Role role) {
  return role == Role::q_proj || role == Role::k_proj || role == Role::v_proj || role == Role::qkv_proj;
}

class LayerScaler {
 public:
  LayerScaler(Model& model, std::int64_t layer, const AwqOptions& options, at::ScalarType type)
      : weights_(model.weights),
        block_(model.config.layers[static_cast<std::size_t>(layer)]),
        layer_(layer),
        options_(options),
        type_(type),
        targets_(linear_targets(model.weights, layer)),
        in_scales_(targets_.size()),
        row_scales_(targets_.size()) {
    for (const LinearTarget& target : targets_) originals_.push_back(target.matrix(weights_).clone());
  }

  std::vector<QuantizedTarget> quantize(LayerwiseRun& run) {
    auto [pass, states] = run.sample(options_.search_tokens);
    look(pass, states);
    observe(run);
    const std::vector<ScaleGroup> groups = scale_groups(block_, targets_);
    std::vector<at::Tensor> scales;  // all by the layer as it was
    for (const ScaleGroup& group : groups) scales.push_back(search(group, pass));
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (scales[i].defined()) apply(groups[i], scales[i]);
    }
    std::vector<QuantizedTarget> done;
    for (std::size_t i = 0; i < targets_.size(); ++i) done.push_back(finish(i));
    return done;
  }

 private:
  // What attention and MLP read of the sample.
  void look(LayerwisePass& pass, const at::Tensor& states) {
    pass.layer(layer_, states, [&](std::int64_t, Role role, std::int64_t expert, const at::Tensor& x) {
      if (expert >= 0) return;
      if (reads_attention(role)) {
        attention_in_ = x;
      } else if (role != Role::o_proj && !mlp_in_.defined()) {
        mlp_in_ = x;
      }
    });
  }

  void observe(LayerwiseRun& run) {
    at::Tensor last;
    std::pair<Role, std::int64_t> leader;
    run.advance(layer_, [&](std::int64_t, Role role, std::int64_t expert, const at::Tensor& x) {
      const std::pair key(role, expert);
      if (!last.defined() || !x.is_same(last)) {
        last = x;
        leader = key;
        inputs_[key].add(x, role != Role::router && role != Role::shared_expert_gate);
      }
      leaders_[key] = leader;
    });
    for (const auto& [key, own] : inputs_) {
      if (own.magnitudes.isfinite().all().item<bool>()) continue;
      std::string name;
      for (const LinearTarget& target : targets_) {
        if (name.empty() && target.role() == key.first && target.expert == key.second) name = target.name();
      }
      throw Error(ErrorKind::numeric, "the inputs of a layer are not finite on the calibration text", {.field = name});
    }
  }

  const Inputs* inputs_of(Role role, std::int64_t expert) const {
    const auto found = leaders_.find({role, expert});
    return found == leaders_.end() ? nullptr : &inputs_.at(found->second);
  }
  const Inputs* inputs_of(const LinearTarget& target) const { return inputs_of(target.role(), target.expert); }

  at::Tensor outputs(Inspected what, LayerwisePass& pass) const {
    switch (what) {
      case Inspected::attention: return pass.attention(layer_, attention_in_);
      case Inspected::mlp: return pass.mlp(layer_, mlp_in_);
      case Inspected::both: return pass.attention(layer_, attention_in_).add(pass.mlp(layer_, attention_in_));
      case Inspected::map: break;
    }
    return {};
  }

  at::Tensor search(const ScaleGroup& group, LayerwisePass& pass) {
    const LinearTarget& first = targets_[group.targets.front()];
    // All tokens pass a router; experts see some.
    const Inputs* const inputs = group.others.empty() ? inputs_of(first) : inputs_of(group.others.front(), -1);
    if (inputs == nullptr) return {};
    const at::Tensor means = inputs->magnitudes.div(static_cast<double>(inputs->tokens));
    std::vector<at::Tensor> matrices;
    for (const std::size_t i : group.targets) matrices.push_back(originals_[i]);
    const at::Tensor weights = weight_means(matrices, group_of(options_, means.size(0)));
    const at::Tensor hessian = group.inspected == Inspected::map ? inputs->hessian.matrix() : at::Tensor();
    const at::Tensor expected = outputs(group.inspected, pass);
    const auto loss = [&](const at::Tensor& scale) {
      for (const std::size_t i : group.targets) {
        const at::Tensor scaled = scale.defined() ? originals_[i].mul(scale) : originals_[i];
        const at::Tensor values = nearest(scaled, options_, targets_[i].name()).values;
        if (scale.defined()) values.div_(scale);
        if (hessian.defined()) return quadratic(values.sub(originals_[i]), hessian);
        targets_[i].matrix(weights_).copy_(values);
      }
      return outputs(group.inspected, pass).sub(expected).pow(2).mean().item<double>();
    };
    at::Tensor best;
    double least = loss(best);
    for (int i = 0; i < options_.n_grid; ++i) {
      const double ratio = static_cast<double>(i) / options_.n_grid;
      const at::Tensor scale = scale_at(means, weights, ratio);
      const double error = loss(scale);
      if (error < least) {
        least = error;
        best = scale;
      }
    }
    for (const std::size_t i : group.targets) targets_[i].matrix(weights_).copy_(originals_[i]);
    return best;
  }

  at::Tensor scale_at(const at::Tensor& means, const at::Tensor& weights, double ratio) const {
    at::Tensor scale = means.pow(ratio);
    if (options_.duo_scaling) scale = scale.div(weights.pow(1 - ratio).add(1e-4));
    scale = scale.clamp_min(1e-4);
    scale = scale.div(scale.max().mul(scale.min()).sqrt());
    return scale.masked_fill(scale.isfinite().logical_not(), 1.0);
  }

  // As files hold it.
  at::Tensor stored(const at::Tensor& x) const { return x.to(type_).to(at::kFloat); }

  // The norm is divided, and the scale becomes what it was divided by, once it is rounded.
  at::Tensor divide_norm(Role role, at::Tensor scale) const {
    const LayerWeights& own = weights_.layer(layer_);
    const at::Tensor weight = own[role];
    const double one = block_.norm.unit_offset ? 1.0 : 0.0;
    const at::Tensor before = weight.add(one);
    weight.copy_(stored(before.div(scale).sub(one)));
    const at::Tensor exact = before.div(weight.add(one));
    scale = exact.where(exact.isfinite().logical_and(exact.gt(0)), scale);
    const at::Tensor& bias = own.bias(role);
    if (bias.defined()) bias.div_(scale);
    return scale;
  }

  void divide_rows(const ScaleGroup& group, const at::Tensor& scale) {
    const at::Tensor rows = index_tensor(group.rows);
    const auto divide = [&](const at::Tensor& x, const at::Tensor& by) {
      x.index_copy_(0, rows, x.index_select(0, rows).div(by));
    };
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i].role() != group.feed || targets_[i].expert != group.expert) continue;
      const at::Tensor matrix = targets_[i].matrix(weights_);
      divide(matrix, scale.unsqueeze(1));
      row_scales_[i] = matrix.new_zeros({matrix.size(0)}).add_(1.0).index_copy_(0, rows, scale);
    }
    const at::Tensor bias = weights_.layer(layer_).bias(group.feed);
    if (bias.defined()) divide(group.expert < 0 ? bias : bias.select(0, group.expert), scale);
  }

  void apply(const ScaleGroup& group, at::Tensor scale) {
    if (group.rows.empty()) {
      scale = divide_norm(group.feed, scale);
    } else {
      divide_rows(group, scale);
    }
    for (const std::size_t i : group.targets) {
      targets_[i].matrix(weights_).mul_(scale);
      in_scales_[i] = scale;
    }
    for (const Role role : group.others) weights_.layer(layer_).matrix(role).mul_(scale);
  }

  QuantizedTarget finish(std::size_t i) {
    const auto begin = std::chrono::steady_clock::now();
    const LinearTarget& target = targets_[i];
    const Inputs* const inputs = inputs_of(target);
    const at::Tensor place = target.matrix(weights_);
    const at::Tensor hessian = inputs == nullptr ? at::Tensor() : inputs->hessian.matrix();
    at::Tensor matrix = place.clone();
    const bool clip = options_.apply_clip && hessian.defined() && target.role() != Role::q_proj &&
                      target.role() != Role::k_proj && target.role() != Role::qkv_proj;
    if (clip) {
      matrix = best_ranges(matrix, rescaled(hessian, in_scales_[i]), options_).cut(matrix);
    }
    GptqSolution solution = nearest(matrix, options_, target.name());
    place.copy_(solution.values);
    at::Tensor meant = solution.values;  // in the place of the original
    if (in_scales_[i].defined()) meant = meant.div(in_scales_[i]);
    if (row_scales_[i].defined()) meant = meant.mul(row_scales_[i].unsqueeze(1));
    const at::Tensor error = meant.sub(originals_[i]);
    QuantizedTarget done{.target = target, .codes = std::move(solution.codes)};
    done.report.name = target.name();
    done.report.tokens = inputs == nullptr ? 0 : inputs->tokens;
    done.report.weight_error = error.norm().item<double>() / std::max(1e-30, originals_[i].norm().item<double>());
    if (hessian.defined()) {
      done.report.output_error =
          std::sqrt(quadratic(error, hessian) / std::max(1e-30, quadratic(originals_[i], hessian)));
    }
    if (inputs == nullptr) done.report.note = "no token reached it";
    done.report.seconds = seconds_since(begin);
    return done;
  }

  DecoderWeights& weights_;
  const Block& block_;
  std::int64_t layer_;
  const AwqOptions& options_;
  at::ScalarType type_;
  std::vector<LinearTarget> targets_;
  std::vector<at::Tensor> originals_, in_scales_, row_scales_;
  at::Tensor attention_in_, mlp_in_;
  std::map<std::pair<Role, std::int64_t>, Inputs> inputs_;
  std::map<std::pair<Role, std::int64_t>, std::pair<Role, std::int64_t>> leaders_;
};

}  // namespace

at::Tensor Ranges::cut(const at::Tensor& matrix) const {
  const std::int64_t group = matrix.size(1) / low.size(0);
  const auto by_column = [&](const at::Tensor& x) { return x.t().unsqueeze(2).expand({-1, -1, group}).flatten(1); };
  return matrix.minimum(by_column(high)).maximum(by_column(low));
}

Ranges best_ranges(const at::Tensor& matrix, const at::Tensor& hessian, const AwqOptions& options) {
  const std::int64_t group = group_of(options, matrix.size(1));
  const std::int64_t groups = matrix.size(1) / group;
  const auto by_group = [&](const at::Tensor& x) { return x.unflatten(1, {groups, group}).transpose(0, 1); };
  // Each group's outputs alone: the blocks on the Hessian's diagonal.
  const at::Tensor blocks =
      hessian.view({groups, group, groups, group}).diagonal(0, 0, 2).permute({2, 0, 1}).contiguous();
  const at::Tensor lowest = by_group(matrix).amin({2}), highest = by_group(matrix).amax({2});  // [groups, outputs]
  const at::Tensor whole = highest.maximum(lowest.neg());
  Ranges best{lowest, highest};
  at::Tensor least;
  const auto attempt = [&](const Ranges& ranges) {
    const at::Tensor error = by_group(nearest(ranges.cut(matrix), options, "").values.sub(matrix));
    const at::Tensor loss = error.bmm(blocks).mul_(error).sum({2});
    if (!least.defined()) {
      least = loss;
      return;
    }
    const at::Tensor better = loss.lt(least);
    best = {ranges.low.where(better, best.low), ranges.high.where(better, best.high)};
    least = loss.where(better, least);
  };
  const auto for_each_share = [&](const auto& op) {
    for (int i = 1; i < static_cast<int>(options.max_shrink * options.n_grid); ++i) {
      op(1.0 - static_cast<double>(i) / options.n_grid);
    }
  };
  attempt(best);
  for_each_share([&](double share) {
    const at::Tensor limit = whole.mul(share);
    attempt({lowest.maximum(limit.neg()), highest.minimum(limit)});
  });
  // A zero lets the ends be cut apart.
  for_each_share([&](double share) { attempt({best.low, highest.mul(share).maximum(best.low)}); });
  for_each_share([&](double share) { attempt({lowest.mul(share).minimum(best.high), best.high}); });
  return best;
}

std::vector<QuantizedTarget> quantize_layer_awq(Model& model, LayerwiseRun& run, std::int64_t layer,
                                                const AwqOptions& options, at::ScalarType type) {
  return LayerScaler(model, layer, options, type).quantize(run);
}

std::size_t awq_bytes(const Model& model, const AwqOptions& options) {
  std::vector<std::size_t> bytes(model.config.layers.size());
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (spec.layer < 0 || spec.is_bias || spec.shape.size() < 2) continue;
    std::size_t matrix = sizeof(float);
    for (const std::int64_t size : spec.shape) matrix *= static_cast<std::size_t>(size);
    const auto columns = static_cast<std::size_t>(spec.shape[spec.shape.size() - (spec.transposed ? 2 : 1)]);
    const std::size_t experts = spec.shape.size() > 2 ? static_cast<std::size_t>(spec.shape.front()) : 1;
    // Its weights once more, and its inputs'.
    bytes[static_cast<std::size_t>(spec.layer)] += matrix + experts * columns * columns * sizeof(float);
  }
  const auto sample = static_cast<std::size_t>(options.search_tokens * model.config.hidden_size) * 16 * sizeof(float);
  return *std::max_element(bytes.begin(), bytes.end()) + sample;
}

}  // namespace powerhouse
