"""Writes tests/fixtures/model/families_gguf/llama_cpp_greedy.json: what llama.cpp makes, greedily, of the GGUF files
that Powerhouse writes.

    python tests/oracles/llama_greedy.py POWERHOUSE LLAMA_GREEDY

Each file of families_gguf is read and written anew by `POWERHOUSE convert`; LLAMA_GREEDY (llama_greedy.cpp) loads the
result, and so it does each folder of families that is not refused ("folders"). A step whose lead over the second best is below 1e-4 logits ends the list: float32 sums in another order may
decide it otherwise.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

POWERHOUSE, LLAMA_GREEDY = sys.argv[1:3]
HERE = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "model" / "families_gguf"
# Longer than any window, and than the length at which Phi-3 changes to its long factors: llama.cpp always takes those.
PROMPT = [1, 5, 9, 3, 7, 11, 2, 30, 4, 13, 8, 22, 6, 17, 10, 25]
NOT_RUN = {
    "phi3_window": "llama.cpp runs Phi-3 without its window",
    "plain_exaone4": "llama.cpp gives windows to EXAONE 4 of 64 layers alone",
}
COUNT = 32
FOLDER_COUNT = 12  # some have room for no more

# Folders whose greedy tokens say nothing: it only has to load them.
LOADED_ONLY = {
    "phi3_window": NOT_RUN["phi3_window"],
    "mistral_window": "llama.cpp runs Llama's graph, which is Mistral's too, without windows",
    "mixtral_experts": "as mistral_window",
    "phi3_partial": "llama.cpp chooses longrope's list by the context's length, not the sequence's",
    "phi3_longrope": "as phi3_partial",
    "llama_longrope": "as phi3_partial",
    "llama_longrope_short": "as phi3_partial",
}


def continued(path, count=COUNT):
    """None where Powerhouse refuses to write the file."""
    with tempfile.TemporaryDirectory() as folder:
        written = str(pathlib.Path(folder) / "written.gguf")
        done = subprocess.run([POWERHOUSE, "convert", "--model", str(path), "--output", written, "--dtype", "f32"],
                              capture_output=True, text=True)
        if done.returncode == 1 and path.is_dir():
            return None
        done.check_returncode()
        text = subprocess.run([LLAMA_GREEDY, written, str(count), *map(str, PROMPT)], check=True, capture_output=True,
                              text=True).stdout
    ids = []
    for line in text.splitlines():
        token, lead = line.split()
        if float(lead) < 1e-4:
            break
        ids.append(int(token))
    return ids


out, folders = {}, {}
for path in sorted(HERE.glob("*.gguf")):
    if path.stem not in NOT_RUN:
        out[path.stem] = continued(path)
        assert len(out[path.stem]) >= 8, path
for row in json.loads((HERE.parent / "families" / "index.json").read_text()):
    ids = continued(HERE.parent / "families" / row["folder"], FOLDER_COUNT)
    if ids is not None:
        folders[row["name"]] = [] if row["name"] in LOADED_ONLY else ids
with open(HERE / "llama_cpp_greedy.json", "w") as file:
    json.dump({"prompt": PROMPT, "greedy": out, "not_run": NOT_RUN, "folders": folders}, file, indent=None,
              separators=(",", ":"))
    file.write("\n")
