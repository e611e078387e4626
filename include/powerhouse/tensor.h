// The one door to LibTorch for the public headers: at::Tensor, nothing heavier (1.3 s to compile, not 12).
// A program that works on tensors includes what it needs of LibTorch itself, e.g. <ATen/ATen.h>.
#pragma once

#include <ATen/core/Tensor.h>
