"""The tokenizers of llama.cpp's GGUF vocabularies (models/ggml-vocab-*.gguf), written to folders by gguf_to_folder and
read by the `tokenizers` package: its ids against llama.cpp's own (tests/oracles/llama_ids.cpp, built by hand).

  gguf_folders.py FOLDER LLAMA_IDS GGUF_TO_FOLDER [--count N] [--only NAME]

Special tokens in a text are recognised on both sides, none are put around it. Ran with tokenizers 0.23 and llama-cpp-python 0.3.36.
"""
import argparse
import pathlib
import subprocess
import tempfile

from tokenizers import Tokenizer

from gguf_vocabularies import ids_of, make, read_ids


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("llama_ids")
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    texts = make(7, arguments.count)
    for file in sorted(pathlib.Path(arguments.folder).glob("ggml-vocab-*.gguf")):
        if arguments.only not in file.name:
            continue
        with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as ids:
            run = subprocess.run([arguments.program, str(file), folder], capture_output=True, text=True)
            if run.returncode != 0:
                print(f"{file.name}: {run.stderr.strip()[:300]}")
                continue
            ids_of(arguments.llama_ids, str(file), "special", texts, ids.name)
            wanted = read_ids(ids.name)
            tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
        found = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        different = [i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b]
        print(f"{file.name}: {len(different)} of {len(texts)} texts differ", flush=True)
        for i in different[:2]:
            print("   ", repr(texts[i][:120]), found[i][:12], wanted[i][:12])


if __name__ == "__main__":
    main()
