// An outside user's program: links the library, and catches its errors across the shared library's border.
#include <iostream>
#include <powerhouse/powerhouse.h>

int main() {
  if (powerhouse::version() != POWERHOUSE_VERSION) return 1;
  try {
    powerhouse::CausalLM::from_pretrained("/no/such/model.gguf");
  } catch (const powerhouse::Error& error) {
    std::cout << "caught: " << error.what() << "\n";
    return error.kind() == powerhouse::ErrorKind::not_found && error.file() == "/no/such/model.gguf" ? 0 : 2;
  }
  return 3;
}
