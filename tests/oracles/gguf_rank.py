"""Writes tests/fixtures/model/rank/: a GGUF file with llama.cpp's head over sequences, and what llama.cpp gives for it.

    python tests/oracles/gguf_rank.py LLAMA_RANK    # llama_rank.cpp, built by hand

qwen3.gguf       families_gguf/qwen3_norms.gguf (llama.cpp's converter wrote it) with a head as the converter gives Qwen3's
                 rerankers: cls.output.weight, classifier.output_labels, pooling_type rank.
expected.json    `texts`, ids of each, and `probabilities` of the labels: llama.cpp's softmax of the head's numbers at the last token.
Ran with gguf 0.19.0, llama.cpp as shipped in llama-cpp-python 0.3.36.
"""
import json
import pathlib
import subprocess
import sys

import gguf
import numpy

MODEL = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "model"
OUT = MODEL / "rank"
LABELS = ["yes", "no", "perhaps"]
TEXTS = [[5], [3, 17, 40, 2], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 43], [11, 11, 11]]


def write():
    OUT.mkdir(exist_ok=True)
    reader = gguf.GGUFReader(MODEL / "families_gguf" / "qwen3_norms.gguf")
    writer = gguf.GGUFWriter(OUT / "qwen3.gguf", "qwen3")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        writer.add_key_value(key, field.contents(), field.types[0])
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(LABELS)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    width = int(reader.tensors[0].shape[0])
    head = numpy.random.default_rng(3).standard_normal((len(LABELS), width)).astype(numpy.float32) * numpy.float32(0.1)
    writer.add_tensor(gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.CLS_OUT] + ".weight", head)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    write()
    texts = [" ".join(map(str, ids)) for ids in TEXTS]
    out = subprocess.run([sys.argv[1], OUT / "qwen3.gguf", *texts], check=True, capture_output=True, text=True).stdout
    rows = [[float(x) for x in line.split()] for line in out.splitlines()]
    assert len(rows) == len(TEXTS) and all(abs(sum(row) - 1) < 1e-5 for row in rows), rows
    (OUT / "expected.json").write_text(json.dumps({"texts": TEXTS, "probabilities": rows}) + "\n")
    print(rows)


main()
