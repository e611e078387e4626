#include "model/hook_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <thread>

#include "powerhouse/error.h"
#include "support/shape_text.h"

namespace powerhouse {
namespace {

struct PointRow {
  std::string_view name;
  bool per_layer;
};

constexpr std::array<PointRow, kHookPointCount> kPoints = {{
    {"embeddings", false},
    {"attention_norm", true},
    {"query", true},
    {"key", true},
    {"value", true},
    {"attention_context", true},
    {"attention_output", true},
    {"attention_residual", true},
    {"mlp_norm", true},
    {"router_logits", true},
    {"mlp_activation", true},
    {"mlp_output", true},
    {"layer_output", true},
    {"final_norm", false},
    {"logits", false},
}};

std::string describe(const at::Tensor& tensor) {
  return std::string(c10::toString(tensor.scalar_type())) + " " + shape_text(tensor.sizes()) + " on " +
         tensor.device().str();
}

}  // namespace

std::string_view to_string(HookPoint point) noexcept { return kPoints[static_cast<std::size_t>(point)].name; }
bool is_per_layer(HookPoint point) noexcept { return kPoints[static_cast<std::size_t>(point)].per_layer; }

HookHandle HookTable::add(HookSite site, Hook hook) {
  entries_.push_back({next_, site, std::move(hook)});
  return next_++;
}

bool HookTable::remove(HookHandle handle) {
  return std::erase_if(entries_, [handle](const Entry& entry) { return entry.handle == handle; }) > 0;
}

at::Tensor HookTable::apply(at::Tensor activation, const HookContext& context) const {
  for (const Entry& entry : entries_) {
    if (entry.site.point != context.point || (entry.site.layer >= 0 && entry.site.layer != context.layer)) continue;
    at::Tensor replaced = entry.hook(activation, context);
    if (!replaced.defined()) continue;
    if (replaced.sizes() != activation.sizes() || replaced.scalar_type() != activation.scalar_type() ||
        replaced.device() != activation.device()) {
      throw Error(ErrorKind::usage, "a hook must return a tensor like the one it got",
                  {.field = std::string(to_string(context.point)),
                   .expected = describe(activation),
                   .found = describe(replaced)});
    }
    activation = std::move(replaced);
  }
  return activation;
}

ModelGate::Reading::Reading(ModelGate& gate) : gate_(gate) {
  int readers = gate_.state_.load(std::memory_order_relaxed);
  while (true) {
    if (readers < 0) {
      std::this_thread::yield();  // a writer holds the gate for microseconds
      readers = gate_.state_.load(std::memory_order_relaxed);
    } else if (gate_.state_.compare_exchange_weak(readers, readers + 1, std::memory_order_acquire)) {
      return;
    }
  }
}

ModelGate::Reading::~Reading() { gate_.state_.fetch_sub(1, std::memory_order_release); }

ModelGate::Writing::Writing(ModelGate& gate, std::string_view what) : gate_(gate) {
  int idle = 0;
  if (!gate_.state_.compare_exchange_strong(idle, -1, std::memory_order_acquire)) {
    throw Error(ErrorKind::usage, std::string(what) + " needs the model alone, but a pass is running on it");
  }
}

ModelGate::Writing::~Writing() { gate_.state_.store(0, std::memory_order_release); }

}  // namespace powerhouse
