// Stands for cuDNN or NCCL: there when its user is linked, not where it is loaded.
__attribute__((visibility("default"))) int gone() { return 1; }
