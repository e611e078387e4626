#include "ops/adapted_linear.h"

#include <sstream>

#include "ops/autograd.h"
#include "ops/dequantize.h"
#include "ops/linear.h"
#include "ops/remake.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What backward needs beside tensors.
struct Details : torch::CustomClassHolder {
  // Places among the inputs, where x is first; 0: none. A and B of term i stand at pairs + 2 i.
  std::size_t weight = 0, bias = 0, pairs = 1;
  Weight blocks{};                         // where the weight is not a tensor
  std::shared_ptr<RemakingNode> source{};  // makes x again; null: x is saved
  struct Term {
    float scale;
    Dropout dropout;
  };
  std::vector<Term> terms{};
};
using DetailsPtr = c10::intrusive_ptr<Details>;

// LibTorch has no fast float16 GEMM on the CPU: float32 does it.
at::ScalarType product_type(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf && x.is_cpu() ? at::kFloat : x.scalar_type();
}

at::Tensor weight_as(at::TensorList inputs, const Details& details, at::ScalarType type) {
  if (details.weight != 0) return inputs[details.weight].to(type);
  return type == at::kDouble ? dequantized(details.blocks, at::kFloat).to(type) : dequantized(details.blocks, type);
}

// alpha a b, of two matrices.
at::Tensor scaled_product(const at::Tensor& a, const at::Tensor& b, float alpha) {
  at::Tensor y = empty_tensor({a.size(0), b.size(1)}, a.scalar_type());
  return y.addmm_(a, b, 0, alpha);
}

// `lows` receives dropout(x) Aᵀ of each term.
at::Tensor product(at::TensorList inputs, const Details& details, variable_list& lows) {
  const auto type = product_type(inputs[0]);
  const at::Tensor x = inputs[0].to(type);
  const at::Tensor bias = details.bias != 0 ? inputs[details.bias].to(type) : at::Tensor();
  at::Tensor y = linear(x, weight_as(inputs, details, type), bias);
  for (std::size_t i = 0; i < details.terms.size(); ++i) {
    const std::size_t a = details.pairs + 2 * i;
    lows.push_back(dropped(x, details.terms[i].dropout).mm(inputs[a].to(type).t()));
    y.addmm_(lows.back(), inputs[a + 1].to(type).t(), 1, details.terms[i].scale);
  }
  return y.to(inputs[0].scalar_type());
}

// Saved: the inputs, without x where no gradient needs it or where its node makes it again, and then the lows that
// gradients of B need.
class AdaptedLinear : public torch::autograd::Function<AdaptedLinear> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs, const DetailsPtr& details) {
    variable_list saved = inputs.vec();
    variable_list lows;
    at::Tensor y = product(inputs, *details, lows);
    bool needs_x = details->weight != 0 && inputs[details->weight].requires_grad();
    for (std::size_t i = 0; i < lows.size(); ++i) {
      const std::size_t a = details->pairs + 2 * i;
      needs_x = needs_x || inputs[a].requires_grad();
      saved.push_back(inputs[a + 1].requires_grad() ? lows[i] : at::Tensor());
    }
    if (needs_x) details->source = remaking_node(inputs[0]);
    if (!needs_x || details->source) saved[0] = at::Tensor();
    context->save_for_backward(std::move(saved));
    context->saved_data["details"] = c10::IValue::make_capsule(details);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    once_differentiable("adapted_linear");
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["details"].toCapsule();
    const auto& details = static_cast<const Details&>(*holder);
    const auto type = product_type(gradients[0]);
    const std::size_t count = details.pairs + 2 * details.terms.size();
    const at::TensorList inputs(saved.data(), count);
    const at::Tensor dy = gradients[0].to(type).contiguous();
    at::Tensor x = details.source && needs_x(*context, details) ? details.source->output() : saved[0];
    if (x.defined()) x = x.to(type);
    variable_list out(count + 1);
    const auto wanted = [&](std::size_t place) { return place != 0 && context->needs_input_grad(place); };
    const auto give = [&](std::size_t place, const at::Tensor& d) { out[place] = d.to(inputs[place].scalar_type()); };

    at::Tensor dx;
    if (context->needs_input_grad(0)) dx = dy.mm(weight_as(inputs, details, type));
    if (wanted(details.weight)) give(details.weight, dy.t().mm(x));
    if (wanted(details.bias)) give(details.bias, dy.sum(0));
    for (std::size_t i = 0; i < details.terms.size(); ++i) {
      const auto& [scale, dropout] = details.terms[i];
      const std::size_t a = details.pairs + 2 * i;
      const std::size_t b = a + 1;
      if (wanted(b)) give(b, scaled_product(dy.t(), saved[count + i], scale));
      if (!wanted(a) && !dx.defined()) continue;
      const at::Tensor dlow = scaled_product(dy, inputs[b].to(type), scale);
      if (wanted(a)) give(a, dlow.t().mm(dropped(x, dropout)));
      if (dx.defined()) add_product(dx, dlow, inputs[a].to(type), dropout);
    }
    if (dx.defined()) out[0] = dx.to(gradients[0].scalar_type());
    return out;
  }

 private:
  static bool needs_x(AutogradContext& context, const Details& details) {
    bool needs = details.weight != 0 && context.needs_input_grad(details.weight);
    for (std::size_t i = 0; i < details.terms.size(); ++i) {
      needs = needs || context.needs_input_grad(details.pairs + 2 * i);
    }
    return needs;
  }

  static void add_product(at::Tensor& dx, const at::Tensor& dlow, const at::Tensor& a, const Dropout& dropout) {
    if (dropout.rate == 0.0f) {
      dx.addmm_(dlow, a);
    } else {
      dx.add_(dropped(dlow.mm(a), dropout));
    }
  }
};

[[noreturn]] void wrong_shape(const char* field, const std::string& expected, const at::Tensor& found) {
  std::ostringstream sizes;
  if (found.defined()) sizes << found.sizes();
  throw Error(ErrorKind::usage, "a tensor of the wrong shape in a linear map",
              {.field = field, .expected = expected, .found = found.defined() ? sizes.str() : "none"});
}

void check_shapes(const at::Tensor& x, std::int64_t out, std::int64_t in, const at::Tensor& bias,
                  std::span<const LowRankTerm> terms) {
  const auto brackets = [](const std::string& rows, const std::string& columns) {
    std::string text = "[";
    return text.append(rows).append(", ").append(columns).append("]");
  };
  const auto is = [](const at::Tensor& tensor, std::int64_t rows, std::int64_t columns) {
    return tensor.defined() && tensor.dim() == 2 && (rows < 0 || tensor.size(0) == rows) && tensor.size(1) == columns;
  };
  if (!is(x, -1, in)) wrong_shape("x", brackets("rows", std::to_string(in)), x);
  if (bias.defined() && (bias.dim() != 1 || bias.size(0) != out)) {
    wrong_shape("bias", std::to_string(out), bias);
  }
  for (const LowRankTerm& term : terms) {
    if (!is(term.a, -1, in)) wrong_shape("a", brackets("rank", std::to_string(in)), term.a);
    if (!is(term.b, out, term.a.size(0))) {
      wrong_shape("b", brackets(std::to_string(out), std::to_string(term.a.size(0))), term.b);
    }
    check_dropout(term.dropout);
  }
}

// A composition of ops, each of which knows exact numerics.
at::Tensor exactly(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   std::span<const LowRankTerm> terms) {
  at::Tensor y = linear(x, weight, bias, Numerics::exact);
  for (const LowRankTerm& term : terms) {
    at::Tensor input = x;
    if (term.dropout.rate > 0.0f) input = x.mul(dropped(x.detach().new_ones(x.sizes()), term.dropout));
    const at::Tensor low = linear(input, term.a.to(x.scalar_type()), {}, Numerics::exact);
    y = y.add(linear(low, term.b.to(x.scalar_type()), {}, Numerics::exact).mul(term.scale));
  }
  return y;
}

// `weight` may be undefined: then it stands in `details`.
at::Tensor by_node(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   std::span<const LowRankTerm> terms, const DetailsPtr& details) {
  variable_list inputs = {x};
  bool autograd = needs_autograd(x);
  const auto add = [&](const at::Tensor& input) {
    inputs.push_back(input);
    autograd = autograd || needs_autograd(input);
    return inputs.size() - 1;
  };
  if (weight.defined()) details->weight = add(weight);
  if (bias.defined()) details->bias = add(bias);
  details->pairs = inputs.size();
  for (const LowRankTerm& term : terms) {
    details->terms.push_back({term.scale, term.dropout});
    add(term.a);
    add(term.b);
  }
  if (autograd) return AdaptedLinear::apply(at::TensorList(inputs), details);
  variable_list lows;
  return product(inputs, *details, lows);
}

}  // namespace

at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          std::span<const LowRankTerm> terms, Numerics numerics) {
  if (!weight.defined() || weight.dim() != 2) wrong_shape("weight", "[out, in]", weight);
  check_shapes(x, weight.size(0), weight.size(1), bias, terms);
  if (numerics == Numerics::exact) return exactly(x, weight, bias, terms);
  return by_node(x, weight, bias, terms, c10::make_intrusive<Details>());
}

at::Tensor adapted_linear(const at::Tensor& x, const Weight& weight, const at::Tensor& bias,
                          std::span<const LowRankTerm> terms, Numerics numerics) {
  if (!is_quantized(weight)) return adapted_linear(x, weight.matrix(), bias, terms, numerics);
  const auto& shape = weight.stored()->shape;
  if (shape.size() != 2) {
    throw Error(ErrorKind::usage, "a linear map needs a matrix",
                {.field = weight.name(), .expected = "2 dimensions", .found = std::to_string(shape.size())});
  }
  check_shapes(x, shape[0], shape[1], bias, terms);
  if (numerics == Numerics::exact) return exactly(x, dequantized(weight, x.scalar_type()), bias, terms);
  auto details = c10::make_intrusive<Details>();
  details->blocks = weight;
  return by_node(x, {}, bias, terms, details);
}

}  // namespace powerhouse::ops
