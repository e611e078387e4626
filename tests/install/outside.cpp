// An outside user's program: links the library and LibTorch's tensor, and catches the library's errors across its
// border.
#include <ATen/core/Tensor.h>
#include <powerhouse/powerhouse.h>
#include <iostream>

int main() {
  if (powerhouse::version() != POWERHOUSE_VERSION) return 1;
  if (const at::Tensor none; none.defined()) return 2;
  try {
    powerhouse::CausalLM::from_pretrained("/no/such/model.gguf");
  } catch (const powerhouse::Error& error) {
    std::cout << "caught: " << error.what() << "\n";
    return error.kind() == powerhouse::ErrorKind::not_found && error.file() == "/no/such/model.gguf" ? 0 : 3;
  }
  return 4;
}
