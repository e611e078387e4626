// MetricMeans: means of what methods measure, over the micro batches of a step or the batches of an evaluation.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse {

/// A metric that a batch has no value of counts nowhere.
class MetricMeans {
 public:
  void add(const Metrics& metrics, double weight) {
    for (const auto& [name, value] : metrics) {
      auto found = std::find_if(sums_.begin(), sums_.end(), [&key = name](const Sum& sum) { return sum.name == key; });
      if (found == sums_.end()) found = sums_.insert(sums_.end(), {name, 0, 0});
      found->sum += weight * value;
      found->weight += weight;
    }
  }
  Metrics means() const {
    Metrics out;
    for (const Sum& sum : sums_) out.emplace_back(sum.name, sum.sum / sum.weight);
    return out;
  }

 private:
  struct Sum {
    std::string name;
    double sum = 0, weight = 0;
  };
  std::vector<Sum> sums_;
};

}  // namespace powerhouse
