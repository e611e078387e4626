// In the place of a libtorch_cuda.so that needs a library which is not there.
int gone();
__attribute__((visibility("default"))) int needy() { return gone(); }
