#include "powerhouse/moe.h"

#include <algorithm>
#include <cstdio>

#include "model/api_guard.h"
#include "ops/moe.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check(std::span<const at::Tensor> router_logits, std::int64_t num_experts_per_tok) {
  if (router_logits.empty()) throw Error(ErrorKind::usage, "no router logits", {.field = "router_logits"});
  for (const at::Tensor& logits : router_logits) {
    if (!logits.defined() || logits.dim() != 2 || logits.size(1) != router_logits[0].size(1)) {
      throw Error(ErrorKind::usage, "wrong input",
                  {.field = "router_logits", .expected = "[tokens, num_experts] of every layer"});
    }
  }
  if (num_experts_per_tok < 1 || num_experts_per_tok > router_logits[0].size(1)) {
    throw Error(ErrorKind::range, "wrong input",
                {.field = "num_experts_per_tok",
                 .expected = "1 to " + std::to_string(router_logits[0].size(1)),
                 .found = std::to_string(num_experts_per_tok)});
  }
}

// Sums over tokens, for a mean over as many layers as are added.
struct Sums {
  at::Tensor chosen;         // [experts], how often each was chosen
  at::Tensor probabilities;  // [experts]
  at::Tensor tokens;         // scalar

  void add(const Sums& other) {
    chosen = chosen.add(other.chosen);
    probabilities = probabilities.add(other.probabilities);
    tokens = tokens.add(other.tokens);
  }
  at::Tensor loss() const { return chosen.div(tokens).mul(probabilities.div(tokens)).sum().mul(chosen.size(0)); }
};

Sums sums_of(const at::Tensor& logits, std::int64_t num_experts_per_tok, const at::Tensor& token_mask) {
  const at::Tensor probabilities =
      logits.to(logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).softmax(-1);
  const at::Tensor experts = std::get<1>(probabilities.detach().topk(num_experts_per_tok, -1));
  at::Tensor counts = token_mask.defined() ? token_mask.to(probabilities.scalar_type()).view({-1, 1})
                                           : probabilities.detach().new_zeros({probabilities.size(0), 1}).add(1);
  if (counts.size(0) != probabilities.size(0)) {
    throw Error(ErrorKind::usage, "wrong input", {.field = "token_mask", .expected = "one value a token"});
  }
  const at::Tensor chosen =
      probabilities.detach().new_zeros(probabilities.sizes()).scatter(1, experts, 1.0).mul(counts).sum({0});
  return {chosen, probabilities.mul(counts).sum({0}), counts.sum()};
}

}  // namespace

at::Tensor load_balancing_loss(std::span<const at::Tensor> router_logits, std::int64_t num_experts_per_tok,
                               const at::Tensor& token_mask, AuxLossScope scope) {
  check(router_logits, num_experts_per_tok);
  return guarded([&] {
    Sums sums;
    at::Tensor mean;
    for (const at::Tensor& logits : router_logits) {
      const Sums own = sums_of(logits, num_experts_per_tok, token_mask);
      if (scope == AuxLossScope::per_layer) {
        mean = mean.defined() ? mean.add(own.loss()) : own.loss();
      } else if (sums.chosen.defined()) {
        sums.add(own);
      } else {
        sums = own;
      }
    }
    return scope == AuxLossScope::per_layer ? mean.div(static_cast<double>(router_logits.size())) : sums.loss();
  });
}

at::Tensor load_balancing_loss(std::span<const at::Tensor> router_logits, std::int64_t num_experts_per_tok,
                               AuxLossScope scope) {
  return load_balancing_loss(router_logits, num_experts_per_tok, at::Tensor(), scope);
}

std::vector<ExpertLoad> expert_load(std::span<const at::Tensor> router_logits, std::int64_t num_experts_per_tok) {
  check(router_logits, num_experts_per_tok);
  return guarded([&] {
    std::vector<ExpertLoad> loads;
    for (const at::Tensor& logits : router_logits) {
      const Sums sums = sums_of(logits.detach(), num_experts_per_tok, {});
      const at::Tensor chosen = sums.chosen.to(at::kCPU, at::kLong).contiguous();
      const at::Tensor probabilities = sums.probabilities.div(sums.tokens).to(at::kCPU, at::kDouble).contiguous();
      ExpertLoad load;
      load.tokens.assign(chosen.const_data_ptr<std::int64_t>(), chosen.const_data_ptr<std::int64_t>() + chosen.numel());
      load.mean_probability.assign(probabilities.const_data_ptr<double>(),
                                   probabilities.const_data_ptr<double>() + probabilities.numel());
      const auto total = static_cast<double>(logits.size(0) * num_experts_per_tok);
      const auto most = static_cast<double>(*std::max_element(load.tokens.begin(), load.tokens.end()));
      load.max_over_mean = total > 0 ? most * static_cast<double>(load.tokens.size()) / total : 0;
      load.unused = std::count(load.tokens.begin(), load.tokens.end(), 0);
      loads.push_back(std::move(load));
    }
    return loads;
  });
}

std::string to_string(std::span<const ExpertLoad> loads) {
  std::string out;
  for (std::size_t layer = 0; layer < loads.size(); ++layer) {
    char ratio[48];
    std::snprintf(ratio, sizeof ratio, "max/mean %.2f, %lld unused:", loads[layer].max_over_mean,
                  static_cast<long long>(loads[layer].unused));
    out += "layer " + std::to_string(layer) + ": " + ratio;
    for (const std::int64_t tokens : loads[layer].tokens) (out += ' ') += std::to_string(tokens);
    out += "\n";
  }
  return out;
}

}  // namespace powerhouse
