// Flash attention, forward and backward, against LibTorch's products and softmax and their autograd.
#include "gpu_check/flash_problem.h"

namespace powerhouse::gpu_check {

void check_flash_attention(Report& report, const Machine& machine) {
  report.left_out("dropout of flash attention", "no check of it is written yet");
  Checked out(report, machine, "flash_forward"), lse(report, machine, "flash_forward, log-sum-exp");
  for (const FlashCase& c : flash_cases(machine.small)) {
    const FlashProblem problem(c);
    const FlashOnDevice on(machine, problem);
    const ops::DeviceKernels kernels(machine.device);
    out.launched(name_of(c), kernels.launch(&cuda::KernelTable::flash_forward, on.params));
    for (const at::ScalarType to : {at::kDouble, at::kFloat}) {
      const FlashProblem::Definition expected = problem.definition(machine, to, false);
      const std::string name = name_of(c) + (to == at::kDouble ? ", float64" : ", float32");
      // Weights are rounded once before they meet the values, the output once.
      out.tensor(name, on.out, allowed(c.type, 1.5), expected.out);
      lse.tensor(name, on.lse, 2e-5, expected.lse);
    }
  }
}

void check_flash_gradients(Report& report, const Machine& machine) {
  Checked checked(report, machine, "flash_backward"), ordered(report, machine, "flash_backward, ordered sums");
  for (const FlashCase& c : flash_cases(machine.small)) {
    if (c.queries > 2048) continue;  // scores in float64
    const FlashProblem problem(c);
    const FlashOnDevice on(machine, problem);
    const ops::DeviceKernels kernels(machine.device);
    checked.launched(name_of(c), kernels.launch(&cuda::KernelTable::flash_forward, on.params));
    const at::Tensor dout = there(machine, problem.dout), dq = at::empty_like(on.q), dk = at::empty_like(on.k);
    const at::Tensor dv = at::empty_like(on.v), dsinks = empty_there(machine, {c.heads}, at::kFloat);
    for (const int slices : {0, 2}) {
      cuda::FlashBackwardParams params{.forward = on.params,
                                       .dout = dout.data_ptr(),
                                       .dq = dq.data_ptr(),
                                       .dk = dk.data_ptr(),
                                       .dv = dv.data_ptr(),
                                       .dsinks = c.sinks ? dsinks.data_ptr<float>() : nullptr,
                                       .dout_strides = on.params.out_strides,
                                       .dq_strides = on.params.q_strides,
                                       .dk_strides = on.params.k_strides,
                                       .dv_strides = on.params.v_strides,
                                       .packed_queries = static_cast<int>(on.q.size(0)),
                                       .slices = slices};
      const at::Tensor workspace = empty_there(machine, {cuda::flash_backward_floats(params)}, at::kFloat);
      params.workspace = workspace.data_ptr<float>();
      Checked& into = slices > 0 ? ordered : checked;
      into.launched(name_of(c), kernels.launch(&cuda::KernelTable::flash_backward, params));
      for (const at::ScalarType to : {at::kDouble, at::kFloat}) {
        if (to == at::kFloat && slices > 0) continue;
        const FlashProblem::Definition expected = problem.definition(machine, to, true);
        const std::string name = name_of(c) + (to == at::kDouble ? ", float64" : ", float32");
        // The bound: 2e-2 of the largest.
        into.tensor(name + " dq", dq, 2e-2, expected.dq);
        into.tensor(name + " dk", dk, 2e-2, expected.dk);
        into.tensor(name + " dv", dv, 2e-2, expected.dv);
        if (c.sinks) into.tensor(name + " dsinks", dsinks, 2e-2, expected.dsinks);
      }
    }
  }
}

}  // namespace powerhouse::gpu_check
