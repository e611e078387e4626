"""llama.cpp and the models that `compare.py --cpu` measures: built and made once, in folders of their own."""
import os
import subprocess
import sys
import tarfile

PACKAGE = "llama_cpp_python==0.3.36"  # its sdist holds llama.cpp
TARGETS = ["llama-bench", "llama-batched-bench", "llama-completion", "llama-quantize", "llama-perplexity"]
COMMON = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF",
          "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DGGML_CCACHE=OFF"]
NO_AMX = [f"-DCMAKE_{language}_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"  # -march=native overrules GGML_AMX_*
          for language in ("C", "CXX")]

SMOLLM2 = ["q4_1", "q4_0", "q4_k_m", "q6_k", "q8_0", "bf16", "f16"]
PROXY = ["q4_0", "q4_k_m", "q6_k", "q8_0"]


def call(command, **options):
    print("  " + " ".join(command), file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)


def source(folder):
    """llama.cpp's source. Files get a date in the past: make would otherwise start over where the clock is behind."""
    for name in sorted(os.listdir(folder)):
        if os.path.isdir(os.path.join(folder, name, "vendor", "llama.cpp")):
            return os.path.join(folder, name, "vendor", "llama.cpp")
    archives = [name for name in os.listdir(folder) if name.startswith("llama_cpp_python") and name.endswith(".tar.gz")]
    if not archives:
        call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", PACKAGE, "-d",
              folder])
        archives = [name for name in os.listdir(folder) if name.endswith(".tar.gz")]
    with tarfile.open(os.path.join(folder, archives[0])) as archive:
        archive.extractall(folder, filter="data")
    for place, _, names in os.walk(folder):
        for name in names:
            os.utime(os.path.join(place, name), (1.7e9, 1.7e9))
    return source(folder)


def build_llama(folder, model):
    """The folder of llama.cpp's programs, built with all that this processor has. Its AMX crashes in worker threads on
    some machines: what can't run the model is built again without."""
    os.makedirs(folder, exist_ok=True)
    tree = source(folder)
    for name, flags in (("build-native", []), ("build-no-amx", NO_AMX)):
        build = os.path.join(tree, name)
        call(["cmake", "-S", tree, "-B", build, "-G", "Unix Makefiles", *COMMON, *flags])
        call(["cmake", "--build", build, "--target", *TARGETS, "-j", str(os.cpu_count())])
        programs = os.path.join(build, "bin")
        tried = subprocess.run([os.path.join(programs, "llama-bench"), "-m", model, "-p", "64", "-n", "4", "-r", "1"],
                               capture_output=True)
        if tried.returncode == 0:
            return programs
        print(f"  {name} can't run here (exit {tried.returncode})", file=sys.stderr)
    sys.exit("compare: llama.cpp runs in no build")


def make_models(root, python, programs, model, folder):
    """SmolLM2 and proxy-1b in every type, by llama-quantize: BF16 from the file given, all others from BF16."""
    os.makedirs(folder, exist_ok=True)
    quantize = [os.path.join(programs, "llama-quantize"), "--allow-requantize"]

    def path(name):
        return os.path.join(folder, name + ".gguf")

    def make(name, command):
        if not os.path.exists(path(name)):
            call(command + [path(name) + ".part"] if command[-1] == "--output" else command)
            os.rename(path(name) + ".part", path(name))
    make("smollm2-q4_1", ["cp", model, path("smollm2-q4_1") + ".part"])
    make("smollm2-bf16", quantize + [model, path("smollm2-bf16") + ".part", "BF16"])
    make("proxy-1b-bf16", [python, os.path.join(root, "bench", "make_proxy.py"), "--tokenizer", model, "--output"])
    for stem, types in (("smollm2", SMOLLM2), ("proxy-1b", PROXY)):
        for kind in types:
            name = f"{stem}-{kind}"
            make(name, quantize + [path(stem + "-bf16"), path(name) + ".part", kind.upper()])
