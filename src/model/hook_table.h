// The hooks of one model, and the gate that keeps them still while a pass runs.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

#include "powerhouse/hooks.h"

namespace powerhouse {

class HookTable {
 public:
  HookHandle add(HookSite site, Hook hook);
  bool remove(HookHandle handle);
  bool empty() const { return entries_.empty(); }

  /// The activation after every hook at this place. Throws Error{usage} where a hook returns another shape or type.
  at::Tensor apply(at::Tensor activation, const HookContext& context) const;

 private:
  struct Entry {
    HookHandle handle;
    HookSite site;
    Hook hook;
  };
  std::vector<Entry> entries_;
  HookHandle next_ = 1;
};

/// Many readers, or one writer that does not wait: passes read the model, hooks and parameter changes write it.
class ModelGate {
 public:
  class Reading {
   public:
    explicit Reading(ModelGate& gate);
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading();

   private:
    ModelGate& gate_;
  };
  class Writing {
   public:
    /// Error{usage} where a pass runs; `what` says what was tried.
    Writing(ModelGate& gate, std::string_view what);
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing();

   private:
    ModelGate& gate_;
  };

 private:
  std::atomic<int> state_{0};  // readers, or -1 while someone writes
};

}  // namespace powerhouse
