"""Writes tests/fixtures/formats/torch/* and tests/fixtures/model/torch/*: files of torch.save, and hostile ones.

    python tests/oracles/torch_files.py

Each good file NAME.bin has its tensors in NAME.safetensors. Folders of model/torch are those of model/families with
their weights pickled. Ran with torch 2.11.0.
"""
import collections
import json
import os
import pathlib
import pickle
import shutil
import struct
import zipfile
import zlib

import torch
from safetensors.torch import load_file, save_file

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
FORMATS = FIXTURES / "formats" / "torch"
MODELS = FIXTURES / "model" / "torch"
torch.manual_seed(1)


def good(name, tensors, **options):
    torch.save(tensors, FORMATS / f"{name}.bin", **options)
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()},
              FORMATS / f"{name}.safetensors")


def edited(source, name, change, compression=zipfile.ZIP_STORED):
    """The file `source` with its entries changed; None leaves an entry out."""
    with zipfile.ZipFile(FORMATS / f"{source}.bin") as old, zipfile.ZipFile(FORMATS / f"{name}.bin", "w", compression) as new:
        for entry in old.namelist():
            data = change(entry.split("/", 1)[1], old.read(entry))
            if data is not None:
                new.writestr(entry, data)


def pickled(name, data):
    with zipfile.ZipFile(FORMATS / f"{name}.bin", "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")


def container(name, entries, overlap=None):
    """A ZIP file whose sizes and offsets all stand in ZIP64 fields, as past 4 GiB; `overlap`: that entry lies in the
    first one's place."""
    wide, out, directory, offsets = 0xFFFFFFFF, b"", b"", {}
    for entry, data in entries.items():
        offsets[entry] = len(out) if entry != overlap else next(iter(offsets.values()))
        crc, text = zlib.crc32(data), f"archive/{entry}".encode()
        common = struct.pack("<HHHHHLLLH", 45, 0, 0, 0, 33, crc, wide, wide, len(text))
        extra = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        out += b"PK\3\4" + common + struct.pack("<H", len(extra)) + text + extra + data
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), offsets[entry])
        directory += (b"PK\1\2" + struct.pack("<H", 45) + common +
                      struct.pack("<HHHHLL", len(extra), 0, 0, 0, 0, wide) + text + extra)
    end = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, len(entries), len(entries), len(directory), len(out))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(out) + len(directory), 1)
    last = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, wide, wide, 0)
    (FORMATS / f"{name}.bin").write_bytes(out + directory + end + locator + last)


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def formats():
    shutil.rmtree(FORMATS, ignore_errors=True)
    FORMATS.mkdir(parents=True)
    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
              torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64]
    good("dtypes", {str(dtype)[6:]: (torch.rand(3, 2) * 9).to(dtype) for dtype in dtypes} |
         {"bool": torch.tensor([True, False]), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)})
    whole = torch.rand(6, 5)
    good("views", {"whole": whole, "rows": whole[2:4], "columns": whole[:, 1:3], "transposed": whole.t(),
                   "permuted": torch.rand(2, 3, 4).permute(2, 0, 1), "same": whole, "stepped": whole[::2, ::3]})
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    good("state_dict", module.state_dict())  # an OrderedDict with _metadata
    good("parameters", {"w": torch.nn.Parameter(torch.rand(2, 2))})
    good("protocol4", {"w": torch.rand(2, 2)}, pickle_protocol=4)
    good("protocol5", {"w": torch.rand(2, 2)}, pickle_protocol=5)

    torch.save({"w": torch.rand(2)}, FORMATS / "bad_legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"model": {"w": torch.rand(2)}}, FORMATS / "bad_nested.bin")
    torch.save({"w": torch.rand(2), "step": 7}, FORMATS / "bad_number.bin")
    torch.save([torch.rand(2)], FORMATS / "bad_list.bin")
    torch.save({"w": torch.rand(1).expand(1 << 20)}, FORMATS / "bad_expanded.bin")
    torch.save({"w": torch.rand(2).to_sparse()}, FORMATS / "bad_sparse.bin")
    pickled("bad_system", pickle.dumps(Call(os.system, "echo owned > owned"), 2))
    pickled("bad_eval", pickle.dumps({"w": Call(eval, "1 + 1")}, 4))
    pickled("bad_object", pickle.dumps(pathlib.PurePosixPath("x"), 2))
    pickled("bad_empty", b"")
    pickled("bad_memo", b"\x80\x02h\x07.")
    pickled("bad_mark", b"\x80\x02u.")
    pickled("bad_stack", b"\x80\x02s.")
    edited("parameters", "bad_compressed", lambda name, data: data, zipfile.ZIP_DEFLATED)
    edited("parameters", "bad_storage", lambda name, data: None if name.startswith("data/") else data)
    edited("parameters", "bad_short", lambda name, data: data[:-1] if name.startswith("data/") else data)
    edited("parameters", "bad_order", lambda name, data: b"big" if name == "byteorder" else data)
    edited("parameters", "bad_offset",
           lambda name, data: data.replace(b"K\x00K\x02K\x02\x86", b"K\x01K\x02K\x02\x86") if name == "data.pkl" else data)
    edited("parameters", "bad_pickle", lambda name, data: data[:-5] if name == "data.pkl" else data)
    tables = {"mask": torch.rand(1, 4).expand(3, 4), "number": torch.rand(1).expand(5), "row": torch.rand(2, 3)[1:]}
    good("expanded", tables)
    with zipfile.ZipFile(FORMATS / "views.bin") as archive:
        entries = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    container("zip64", entries)
    container("bad_overlap", entries, "data/1")
    views, tensors = load_file(FORMATS / "views.safetensors"), torch.load(FORMATS / "zip64.bin", weights_only=True)
    assert all(torch.equal(views[key], value) for key, value in tensors.items())
    shutil.copy(FORMATS / "views.safetensors", FORMATS / "zip64.safetensors")
    torch.save({"w": torch._neg_view(torch.rand(3))}, FORMATS / "bad_negative.bin")
    torch.save({"w": torch.rand([1] * 20)}, FORMATS / "bad_dimensions.bin")
    pickled("bad_inst", b"\x80\x02(X\x04\0\0\0echoios\nsystem\n.")
    pickled("bad_new", b"\x80\x02csubprocess\nPopen\n)\x81.")
    edited("state_dict", "bad_twice", lambda name, data: data.replace(b"1.weight", b"0.weight"))
    data = (FORMATS / "parameters.bin").read_bytes()
    (FORMATS / "bad_cut.bin").write_bytes(data[: len(data) // 2])


def models():
    shutil.rmtree(MODELS, ignore_errors=True)
    for family, shards in (("gpt2_unscaled", 1), ("llama_llama3", 3)):
        source, folder = FIXTURES / "model" / "families" / family, MODELS / family
        folder.mkdir(parents=True)
        shutil.copy(source / "config.json", folder)
        tensors = collections.OrderedDict(load_file(source / "model.safetensors"))
        if shards == 1:
            assert json.load(open(folder / "config.json"))["tie_word_embeddings"] and "lm_head.weight" not in tensors
            tensors["lm_head.weight"] = tensors["transformer.wte.weight"]  # as state_dict has it: twice, in one storage
            torch.save(tensors, folder / "pytorch_model.bin")
            continue
        names, weight_map = list(tensors), {}
        for shard in range(shards):
            file = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
            part = {name: tensors[name] for name in names[shard::shards]}
            torch.save(part, folder / file)
            weight_map |= dict.fromkeys(part, file)
        with open(folder / "pytorch_model.bin.index.json", "w") as out:
            json.dump({"metadata": {"total_size": 0}, "weight_map": weight_map}, out)
    shared()


def shared():
    """Two layers' matrices in one storage, though the model does not share them."""
    source, folder = FIXTURES / "model" / "families" / "llama_llama3", MODELS / "llama_shared"
    folder.mkdir()
    shutil.copy(source / "config.json", folder)
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"]
    torch.save(tensors, folder / "pytorch_model.bin")


formats()
models()
