"""Writes tests/fixtures/text/gguf_from_folder/: tokenizer_config.json for tokenizers that lie beside it, and the tokenizer
metadata that llama.cpp's converter (convert_hf_to_gguf.py, --vocab-only) writes for such a folder. The converter knows
byte-level tokenizers by hashes of real vocabularies only: for ours it is told the name, which is what our own detection
is to find. Its scores are left out where it has none to give (BPE with byte fallback: -1000 for all).
Ran with llama.cpp as shipped in llama-cpp-python 0.3.36, transformers 5.23.0, gguf 0.19.0.

Usage: gguf_from_folder.py LLAMA_CPP_FOLDER
"""
import json
import pathlib
import shutil
import sys
import tempfile

from sentencepiece_models import train

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text"
OUT = ROOT / "gguf_from_folder"
TEMPLATES = [{"name": "default", "template": "{{ bos_token }}"}, {"name": "tool use", "template": "{{ eos_token }}"}]
CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=32, num_attention_heads=2, num_hidden_layers=1,
              intermediate_size=64, rms_norm_eps=1e-5, max_position_embeddings=64, num_key_value_heads=2, rope_theta=10000.0)
# name: the file beside, the name to find, rows beyond the tokens, config.json's and tokenizer_config.json's own
CASES = {
    "gpt2": ("gpt2/tokenizer.json", "gpt-2", 3, {"bos_token_id": 1, "eos_token_id": 2}, {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}),
    "smollm": ("smollm/tokenizer.json", "smollm", 0, {}, {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATES}),
    "llama3": ("llama3/tokenizer.json", "llama-bpe", 0, {}, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|end_of_text|>", "chat_template": "{{ messages }}"}),
    "qwen2": ("qwen2/tokenizer.json", "qwen2", 5, {"eos_token_id": 3}, {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|endoftext|>"}),
    "llama2": ("gguf_from_folder/llama2.json", "default", 0, {}, {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_prefix_space": True, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "sentencepiece": ("gguf_from_folder/llama2.model", "default", 4, {}, {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
                      "unk_token": "<unk>", "legacy": False, "chat_template": "{{ x }}"}),
}


def fields_of(path):
    import gguf

    return {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if k.startswith("tokenizer.")}


def llama2(path):
    """SentencePiece's BPE, and what transformers turns it into: a tokenizer.json."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        train(folder, "tokenizer", model_type="bpe", vocab_size=450, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
        shutil.copy(f"{folder}/tokenizer.model", path.with_suffix(".model"))
        pathlib.Path(folder, "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": True}))
        path.write_text(AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str() + "\n")


def main():
    llama = pathlib.Path(sys.argv[1])
    sys.path[:0] = [str(llama), str(llama / "gguf-py")]
    import convert_hf_to_gguf
    from conversion.base import TextModel
    from sentencepiece import SentencePieceProcessor
    from transformers import AutoTokenizer

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    llama2(OUT / "llama2.json")
    out = {}
    for name, (file, pre, more, config, tokenizer_config) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            target = "tokenizer.model" if file.endswith(".model") else "tokenizer.json"
            shutil.copy(ROOT / file, place / target)
            (place / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
            if target == "tokenizer.json":
                size = max(AutoTokenizer.from_pretrained(folder).get_vocab().values()) + 1
            else:
                size = SentencePieceProcessor(model_file=str(place / target)).get_piece_size()
            (place / "config.json").write_text(json.dumps({**CONFIG, **config, "vocab_size": size + more}))
            TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
            sys.argv = ["convert", folder, "--vocab-only", "--outfile", f"{folder}/out.gguf", "--outtype", "f32"]
            convert_hf_to_gguf.main()
            fields = fields_of(f"{folder}/out.gguf")
            if name == "llama2":
                del fields["tokenizer.ggml.scores"]
            out[name] = {"file": file, "rows": size + more, "config": config, "tokenizer_config": tokenizer_config, "metadata": fields}
    (OUT / "cases.json").write_text(json.dumps(out, separators=(",", ":"), default=str) + "\n")


if __name__ == "__main__":
    main()
