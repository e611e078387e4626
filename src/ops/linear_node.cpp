#include "ops/linear_node.h"

#include <algorithm>

#include "ops/autograd.h"
#include "ops/dequantize.h"
#include "ops/matmul.h"
#include "ops/remake.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Term {
  std::size_t part;
  std::size_t a, b;  // places among the inputs
  float scale;
  Dropout dropout;
  at::Tensor a_as{}, b_as{};  // a and b in the products' type, where that is another: backward's copies too
};

// Places among the node's inputs, where x is first; 0: none.
struct Part {
  std::size_t weight = 0, bias = 0;
  Weight blocks{};  // where the weight is not a tensor
  bool unread = false;
};

// What backward needs beside tensors.
struct LinearDetails : torch::CustomClassHolder {
  std::vector<Part> parts{};
  std::vector<Term> terms{};               // of the parts in order
  std::size_t inputs = 1;                  // their number
  std::shared_ptr<RemakingNode> source{};  // makes x again; null: x is saved
};
using LinearDetailsPtr = c10::intrusive_ptr<LinearDetails>;

// LibTorch has no fast float16 GEMM on the CPU: float32 does it.
at::ScalarType product_type(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf && x.is_cpu() ? at::kFloat : x.scalar_type();
}

at::Tensor weight_as(at::TensorList inputs, const Part& part, at::ScalarType type) {
  if (part.weight != 0) return inputs[part.weight].to(type);
  return type == at::kDouble ? dequantized(part.blocks, at::kFloat).to(type) : dequantized(part.blocks, type);
}

std::int64_t outputs(at::TensorList inputs, const Part& part) {
  return part.weight != 0 ? inputs[part.weight].size(0) : part.blocks.stored()->shape[0];
}

// A and B of a term as the products take them.
at::Tensor a_of(at::TensorList inputs, const Term& term) { return term.a_as.defined() ? term.a_as : inputs[term.a]; }
at::Tensor b_of(at::TensorList inputs, const Term& term) { return term.b_as.defined() ? term.b_as : inputs[term.b]; }

void convert_terms(at::TensorList inputs, std::vector<Term>& terms, at::ScalarType type) {
  for (Term& term : terms) {
    if (inputs[term.a].scalar_type() != type) term.a_as = inputs[term.a].to(type);
    if (inputs[term.b].scalar_type() != type) term.b_as = inputs[term.b].to(type);
  }
}

// Runs of terms whose products with x can be one: without dropout and of one scale. body(first, end)
template <typename Body>
void for_runs(const std::vector<Term>& terms, Body body) {
  for (std::size_t first = 0, end = 0; first < terms.size(); first = end) {
    const auto joins = [&](const Term& term) {
      return term.dropout.rate == 0.0f && terms[first].dropout.rate == 0.0f && term.scale == terms[first].scale;
    };
    for (end = first + 1; end < terms.size() && joins(terms[end]);) ++end;
    body(first, end);
  }
}

// A of a run's terms below one another, [their ranks, in].
at::Tensor stacked_a(at::TensorList inputs, const LinearDetails& details, std::size_t first, std::size_t end) {
  std::vector<at::Tensor> all;
  for (std::size_t i = first; i < end; ++i) all.push_back(a_of(inputs, details.terms[i]));
  return all.size() == 1 ? all[0] : concatenate(all, 0);
}

// scale dropout(x) Aᵀ of each term, [rows, rank].
variable_list lows_of(const at::Tensor& x, at::TensorList inputs, const LinearDetails& details) {
  variable_list lows;
  for_runs(details.terms, [&](std::size_t first, std::size_t end) {
    const Term& term = details.terms[first];
    const at::Tensor a = stacked_a(inputs, details, first, end);
    const at::Tensor all =
        sum_of_products({{{dropped(x, term.dropout), a.t()}}}, x.scalar_type(), {.scale = term.scale});
    std::int64_t at = 0;
    for (std::size_t i = first; i < end; ++i) {
      const std::int64_t rank = inputs[details.terms[i].a].size(0);
      lows.push_back(all.narrow(1, at, rank));
      at += rank;
    }
  });
  return lows;
}

variable_list products(at::TensorList inputs, LinearDetails& details, variable_list& lows) {
  const auto type = product_type(inputs[0]);
  convert_terms(inputs, details.terms, type);
  const at::Tensor x = inputs[0].to(type);
  lows = lows_of(x, inputs, details);
  variable_list out;
  std::vector<MatrixPair> pairs;
  for (std::size_t p = 0; p < details.parts.size(); ++p) {
    const Part& part = details.parts[p];
    if (part.unread) {
      out.push_back(empty_tensor({x.size(0), outputs(inputs, part)}, inputs[0].scalar_type(), x.device()).zero_());
      continue;
    }
    pairs.assign(1, {x, weight_as(inputs, part, type).t()});
    for (std::size_t i = 0; i < lows.size(); ++i) {
      const Term& term = details.terms[i];
      if (term.part == p) pairs.push_back({lows[i], b_of(inputs, term).t()});
    }
    const at::Tensor bias = part.bias != 0 ? inputs[part.bias] : at::Tensor();
    out.push_back(sum_of_products(pairs, type, {.bias = bias}).to(inputs[0].scalar_type()));
  }
  return out;
}

// The backward pass of a group.
class Gradients {
 public:
  Gradients(AutogradContext& context, at::TensorList inputs, at::TensorList lows, const LinearDetails& details,
            const variable_list& gradients)
      : context_(context),
        inputs_(inputs),
        lows_(lows),
        details_(details),
        type_(product_type(gradients[0])),
        out_(details.inputs + 1) {
    for (const at::Tensor& gradient : gradients) dys_.push_back(gradient.to(type_).contiguous());
    if (needs_x()) x_ = (details.source ? details.source->output() : inputs[0]).to(type_);
  }

  variable_list all(at::ScalarType x_type) {
    for (std::size_t p = 0; p < details_.parts.size(); ++p) {
      const Part& part = details_.parts[p];
      if (wanted(part.weight)) out_[part.weight] = product(dys_[p].t(), x_, part.weight);
      if (wanted(part.bias)) give(part.bias, dys_[p].sum(0));
    }
    of_terms();
    if (context_.needs_input_grad(0)) out_[0] = of_x().to(x_type);
    return std::move(out_);
  }

 private:
  bool wanted(std::size_t place) { return place != 0 && context_.needs_input_grad(place); }

  bool needs_x() {
    return std::any_of(details_.parts.begin(), details_.parts.end(), [&](const Part& p) { return wanted(p.weight); }) ||
           std::any_of(details_.terms.begin(), details_.terms.end(), [&](const Term& t) { return wanted(t.a); });
  }

  void give(std::size_t place, const at::Tensor& gradient) { out_[place] = gradient.to(inputs_[place].scalar_type()); }

  // In the type of the input that it is the gradient of.
  at::Tensor product(const at::Tensor& a, const at::Tensor& b, std::size_t place) const {
    const auto wide = inputs_[place].scalar_type() == at::kFloat ? at::kFloat : type_;
    return sum_of_products({{{a, b}}}, wide).to(inputs_[place].scalar_type());
  }

  void of_terms() {
    dlows_.resize(details_.terms.size());
    for_runs(details_.terms, [&](std::size_t first, std::size_t end) {
      std::int64_t ranks = 0;
      bool any_a = false;
      for (std::size_t i = first; i < end; ++i) {
        ranks += inputs_[details_.terms[i].a].size(0);
        any_a = any_a || wanted(details_.terms[i].a);
      }
      if (any_a || context_.needs_input_grad(0)) dlows_of(first, end, ranks);
      for (std::size_t i = first; i < end; ++i) {
        const Term& term = details_.terms[i];
        if (wanted(term.b)) out_[term.b] = of_b(i);
      }
      if (any_a) of_a(first, end);
    });
  }

  // The CPU is faster the other way round, and its gradient then lies transposed.
  at::Tensor of_b(std::size_t i) const {
    const Term& term = details_.terms[i];
    const at::Tensor& dy = dys_[term.part];
    return dy.is_cpu() ? product(lows_[i].t(), dy, term.b).t() : product(dy.t(), lows_[i], term.b);
  }

  // scale dy B of each, side by side.
  void dlows_of(std::size_t first, std::size_t end, std::int64_t ranks) {
    run_ = empty_tensor({dys_[0].size(0), ranks}, type_, dys_[0].device());
    std::int64_t at = 0;
    for (std::size_t i = first; i < end; ++i) {
      const Term& term = details_.terms[i];
      const at::Tensor b = b_of(inputs_, term);
      dlows_[i] = run_.narrow(1, at, b.size(1));
      sum_products(dlows_[i], {{{dys_[term.part], b}}}, {.scale = term.scale});
      at += b.size(1);
    }
  }

  void of_a(std::size_t first, std::size_t end) {
    const Term& term = details_.terms[first];
    const at::Tensor all = product(run_.t(), dropped(x_, term.dropout), term.a);
    std::int64_t at = 0;
    for (std::size_t i = first; i < end; ++i) {
      const std::size_t place = details_.terms[i].a;
      const std::int64_t rank = inputs_[place].size(0);
      if (wanted(place)) give(place, all.narrow(0, at, rank));
      at += rank;
    }
  }

  // One sum over all parts; dense forms of blocks come one by one.
  at::Tensor of_x() {
    at::Tensor dx;
    std::vector<MatrixPair> pairs;
    const auto flush = [&] {
      if (!dx.defined()) {
        dx = sum_of_products(pairs, type_);
      } else if (!pairs.empty()) {
        sum_products(dx, pairs, {.add = true});
      }
      pairs.clear();
    };
    for (std::size_t p = 0; p < details_.parts.size(); ++p) {
      pairs.push_back({dys_[p], weight_as(inputs_, details_.parts[p], type_)});
      for (std::size_t i = 0; i < details_.terms.size(); ++i) {
        const Term& term = details_.terms[i];
        if (term.part == p && term.dropout.rate == 0.0f) pairs.push_back({dlows_[i], a_of(inputs_, term)});
      }
      if (details_.parts[p].weight == 0) flush();
    }
    flush();
    for (std::size_t i = 0; i < details_.terms.size(); ++i) {
      const Term& term = details_.terms[i];
      if (term.dropout.rate == 0.0f) continue;
      dx.add_(dropped(sum_of_products({{{dlows_[i], a_of(inputs_, term)}}}, type_), term.dropout));
    }
    return dx;
  }

  AutogradContext& context_;
  at::TensorList inputs_, lows_;
  const LinearDetails& details_;
  at::ScalarType type_;
  variable_list out_;
  variable_list dys_{};
  variable_list dlows_{};
  at::Tensor run_{};  // the dlows of a run
  at::Tensor x_{};
};

// Saved: the inputs, without x where no gradient needs it or where its node makes it again, and then the lows that
// gradients of B need.
class LinearGroup : public torch::autograd::Function<LinearGroup> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs, const LinearDetailsPtr& details) {
    variable_list saved = inputs.vec();
    variable_list lows;
    variable_list out = products(inputs, *details, lows);
    bool needs_x = false;
    for (const Part& part : details->parts) {
      needs_x = needs_x || (part.weight != 0 && inputs[part.weight].requires_grad());
    }
    for (std::size_t i = 0; i < lows.size(); ++i) {
      const Term& term = details->terms[i];
      needs_x = needs_x || inputs[term.a].requires_grad();
      saved.push_back(inputs[term.b].requires_grad() ? lows[i] : at::Tensor());
    }
    if (needs_x) details->source = remaking_node(inputs[0]);
    if (details->source && details->parts[0].unread) details->source->hold(inputs[0]);
    if (!needs_x || details->source) saved[0] = at::Tensor();
    context->save_for_backward(std::move(saved));
    context->saved_data["details"] = c10::IValue::make_capsule(details);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    once_differentiable("adapted_linear");
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["details"].toCapsule();
    const auto& details = static_cast<const LinearDetails&>(*holder);
    const at::TensorList all(saved);
    Gradients pass(*context, all.slice(0, details.inputs), all.slice(details.inputs), details, gradients);
    return pass.all(gradients[0].scalar_type());
  }
};

}  // namespace

std::vector<at::Tensor> linear_group(const at::Tensor& x, std::span<const LinearPart> parts) {
  auto details = c10::make_intrusive<LinearDetails>();
  variable_list inputs = {x};
  bool autograd = needs_autograd(x);
  const auto add = [&](const at::Tensor& input) {
    inputs.push_back(input);
    autograd = autograd || needs_autograd(input);
    return inputs.size() - 1;
  };
  for (std::size_t p = 0; p < parts.size(); ++p) {
    Part part{.unread = parts[p].unread};
    if (parts[p].matrix.defined()) {
      part.weight = add(parts[p].matrix);
    } else {
      part.blocks = parts[p].weight;
    }
    if (parts[p].bias.defined()) part.bias = add(parts[p].bias);
    details->parts.push_back(part);
    for (const LowRankTerm& term : parts[p].terms) {
      const std::size_t a = add(term.a);
      details->terms.push_back({p, a, add(term.b), term.scale, term.dropout});
    }
  }
  details->inputs = inputs.size();
  if (autograd) return LinearGroup::apply(at::TensorList(inputs), details);
  variable_list lows;
  return products(inputs, *details, lows);
}

}  // namespace powerhouse::ops
