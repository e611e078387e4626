// Cross entropy of rows of logits: loss, statistics and the gradient in the logits' place.
#include "gpu_check/checks.h"

namespace powerhouse::gpu_check {

namespace {

struct Case {
  std::int64_t rows, vocabulary;
  float scale, softcap, smoothing, z_loss;
  bool entropy;
};
constexpr Case kCases[] = {{17, 5003, 1, 0, 0, 0, false},    {3, 49152, 1, 0, 0.1f, 0, false},
                           {4, 31, 0.5f, 0, 0, 1e-3f, true}, {9, 2000, 1, 30, 0, 0, true},
                           {5, 1, 1, 0, 0, 0, false},        {2, 32000, 2, 10, 0.05f, 1e-4f, true}};

struct Expected {
  at::Tensor loss, log_prob, entropy, gradient;
};
Expected expected_of(const Machine& machine, const at::Tensor& logits, const at::Tensor& targets,
                     const at::Tensor& weights, const at::Tensor& entropy_weights, const Case& c, at::ScalarType to) {
  const at::Tensor z = wide(machine, logits, to).detach().clone().set_requires_grad(true);
  at::Tensor l = z.mul(c.scale);
  if (c.softcap > 0) l = l.div(c.softcap).tanh().mul(c.softcap);
  const at::Tensor log_p = at::log_softmax(l, 1), target = targets.to(machine.judge).unsqueeze(1);
  const at::Tensor log_prob = log_p.gather(1, target).squeeze(1);
  at::Tensor loss = log_prob.mul(-(1 - static_cast<double>(c.smoothing)));
  if (c.smoothing > 0) loss = loss.sub(log_p.mean(1).mul(c.smoothing));
  if (c.z_loss > 0) loss = loss.add(at::logsumexp(l, 1).square().mul(c.z_loss));
  const at::Tensor entropy = log_p.exp().mul(log_p).sum(1).neg();
  at::Tensor sum = loss.mul(wide(machine, weights, to)).sum();
  if (c.entropy) sum = sum.add(entropy.mul(wide(machine, entropy_weights, to)).sum());
  sum.backward();
  return {loss.detach(), log_prob.detach(), entropy.detach(), z.grad()};
}

}  // namespace

void check_cross_entropy(Report& report, const Machine& machine) {
  Checked checked(report, machine, "cross_entropy");
  for (const at::ScalarType type : kTypes) {
    for (const Case& c : kCases) {
      const std::string name =
          std::string(at::toString(type)) + " [" + std::to_string(c.rows) + ", " + std::to_string(c.vocabulary) + "]";
      const at::Tensor logits = noise({c.rows, c.vocabulary}, type, 1, 4.0),
                       targets = whole_numbers(c.rows, c.vocabulary, 2);
      const at::Tensor weights = noise({c.rows}, at::kFloat, 3), entropy_weights = noise({c.rows}, at::kFloat, 4);
      const at::Tensor z = there(machine, logits).clone(), t = there(machine, targets), w = there(machine, weights);
      const at::Tensor ew = there(machine, entropy_weights);
      const at::Tensor loss = empty_there(machine, {c.rows}, at::kFloat), log_prob = at::empty_like(loss);
      const at::Tensor entropy = at::empty_like(loss), arg_max = empty_there(machine, {c.rows}, at::kLong);
      const cpu::CrossEntropyParams params{.type = element(type),
                                           .logits = z.data_ptr(),
                                           .vocabulary = c.vocabulary,
                                           .stride = c.vocabulary,
                                           .targets = t.data_ptr<std::int64_t>(),
                                           .weights = w.data_ptr<float>(),
                                           .entropy_weights = c.entropy ? ew.data_ptr<float>() : nullptr,
                                           .scale = c.scale,
                                           .softcap = c.softcap,
                                           .smoothing = c.smoothing,
                                           .z_loss = c.z_loss,
                                           .loss = loss.data_ptr<float>(),
                                           .log_prob = log_prob.data_ptr<float>(),
                                           .entropy = entropy.data_ptr<float>(),
                                           .arg_max = arg_max.data_ptr<std::int64_t>()};
      const ops::DeviceKernels kernels(machine.device);
      checked.launched(name, kernels.launch(&cuda::KernelTable::cross_entropy, params, c.rows));
      // The largest may stand in several places: what stands there counts.
      const at::Tensor found_best = logits.to(at::kDouble).gather(1, arg_max.to(at::kCPU).unsqueeze(1)).squeeze(1);
      checked.number(name + " arg_max",
                     found_best.sub(std::get<0>(logits.to(at::kDouble).max(1))).abs().max().item<double>(), 0);
      for (const at::ScalarType to : {at::kDouble, at::kFloat}) {
        const Expected expected = expected_of(machine, logits, targets, weights, entropy_weights, c, to);
        const std::string at_width = name + (to == at::kDouble ? ", float64" : ", float32");
        checked.tensor(at_width + " loss", loss, 2e-5, expected.loss);
        checked.tensor(at_width + " log_prob", log_prob, 2e-5, expected.log_prob);
        checked.tensor(at_width + " entropy", entropy, 5e-5, expected.entropy);
        checked.tensor(at_width + " gradient", z, allowed(type, 1.25), expected.gradient);
      }
    }
  }
}

}  // namespace powerhouse::gpu_check
