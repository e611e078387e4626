"""Tiny folders of GPTQ, AWQ, compressed-tensors and EXL2: tests/fixtures/model/packed/<name>.

    pip download --no-deps auto-gptq==0.7.1 autoawq==0.2.7.post3 compressed-tensors==0.20.0; unzip all into <folder>
    python tests/oracles/packed_folders.py <folder> tests/fixtures/model/packed

Random models of transformers, every linear module but the head rounded to whole numbers with a scale and a zero a group.
The packages' own files pack the numbers (and, where they can on a CPU, unpack them again); EXL2's layout is that of
exllamav2's kernels (pack_tensor.cu, q_matrix.cu), which run on GPUs alone. `logits` are transformers' with the numbers
scale * (code - zero) in float32; `weight` is one of the matrices.
"""
import importlib.util
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

PEERS = pathlib.Path(sys.argv[1])


def module_of(path):
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem + "_of_peer", PEERS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def class_of(path, name, **names):
    """A class out of its file: imports of the package around it want a GPU."""
    lines = [line for line in (PEERS / path).read_text().splitlines() if not line.startswith("from awq.")]
    names |= {"try_import": lambda name: (None, ""), "get_best_device": lambda: "cpu", "dequantize_gemm": None}
    exec(compile("\n".join(lines), path, "exec"), names)
    return names[name]


GPTQ = module_of("auto_gptq/nn_modules/qlinear/qlinear_cuda.py").QuantLinear
AWQ_GEMM = class_of("awq/modules/linear/gemm.py", "WQLinear_GEMM")
AWQ_GEMV = class_of("awq/modules/linear/gemv.py", "WQLinear_GEMV")
AWQ_FAST = class_of("awq/modules/linear/gemv_fast.py", "WQLinear_GEMVFast")
read_awq = module_of("awq/utils/packing_utils.py").dequantize_gemm
ct = module_of("compressed_tensors/compressors/pack_quantized/helpers.py")


class Rounded:
    """A matrix [outputs, inputs] in whole numbers; scales in float16."""

    def __init__(self, weight, bits, group, sym, g_idx=None, scale_type=torch.float16, least_zero=0):
        self.bits, self.outputs, self.inputs = bits, *weight.shape
        self.group = self.inputs if group == -1 else group
        self.g_idx = torch.arange(self.inputs) // self.group if g_idx is None else g_idx
        groups = self.inputs // self.group
        most = 2**bits - 1
        self.zeros = torch.full((self.outputs, groups), 2 ** (bits - 1), dtype=torch.int32)
        self.scales = torch.zeros(self.outputs, groups)
        for g in range(groups):
            part = weight[:, self.g_idx == g]
            low, high = part.min(1)[0].clamp(max=0), part.max(1)[0].clamp(min=0)
            if sym:
                self.scales[:, g] = part.abs().max(1)[0] / (most / 2)
            else:
                self.scales[:, g] = (high - low) / most
                zero = torch.round(-low / self.scales[:, g]).int()
                self.zeros[:, g] = zero.clamp(least_zero, most)
        self.scales = self.scales.to(scale_type).float()
        scale, zero = self.scales[:, self.g_idx], self.zeros[:, self.g_idx]
        self.codes = (torch.round(weight / scale) + zero).clamp(0, most).int()
        self.weight = scale * (self.codes - zero)

    def linear(self):
        linear = torch.nn.Linear(self.inputs, self.outputs, bias=False)
        linear.weight.data = self.weight.clone()
        return linear


def pack_gptq(name, r, v2=False):
    packed = GPTQ(r.bits, r.group, r.inputs, r.outputs, False)
    packed.pack(r.linear(), r.scales, r.zeros.float(), r.g_idx.int())
    packed.scales = packed.scales.float()
    assert torch.equal(packed(torch.eye(r.inputs)).t(), r.weight), name
    qzeros = packed.qzeros + (0x11111111 if v2 else 0)  # GPTQModel's conversion of 4 bits
    return {f"{name}.qweight": packed.qweight, f"{name}.qzeros": qzeros, f"{name}.scales": packed.scales.half(),
            f"{name}.g_idx": packed.g_idx.int()}


def pack_awq(name, r, kind):
    if kind is AWQ_GEMM:
        packed = kind.from_linear(r.linear(), 4, r.group, False, r.scales.t(), r.zeros.t())
        assert torch.equal(read_awq(packed.qweight, packed.qzeros, packed.scales.float(), 4, r.group).t(), r.weight)
    else:
        packed = kind.from_linear(r.linear(), 4, r.group, False, r.scales, r.zeros)
    if kind is AWQ_FAST:  # what it adds is rounded
        added = -(r.scales.half() * r.zeros.float()).half().float()
        r.weight = r.scales[:, r.g_idx] * r.codes + added[:, r.g_idx]
    return {f"{name}.qweight": packed.qweight, f"{name}.qzeros": packed.qzeros, f"{name}.scales": packed.scales}


def pack_ct(name, r, ordered):
    offset = 2 ** (r.bits - 1)
    packed = ct.pack_to_int32((r.codes - offset).to(torch.int8), r.bits)
    assert torch.equal(ct.unpack_from_int32(packed, r.bits, r.weight.shape).int() + offset, r.codes)
    out = {f"{name}.weight_packed": packed, f"{name}.weight_scale": r.scales.bfloat16(),
           f"{name}.weight_shape": torch.tensor(r.weight.shape)}
    if (r.zeros != offset).any():
        out[f"{name}.weight_zero_point"] = ct.pack_to_int32((r.zeros - offset).to(torch.int8), r.bits, packed_dim=0)
    if ordered:
        out[f"{name}.weight_g_idx"] = r.g_idx.int()
    return out


def bits_along(codes, bits):
    """[rows, columns] to words [rows * bits / 32, columns], the lowest bits first."""
    rows, columns = codes.shape
    stream = (codes.unsqueeze(1) >> torch.arange(bits).view(1, -1, 1) & 1).reshape(rows * bits // 32, 32, columns)
    words = (stream.long() << torch.arange(32).view(1, -1, 1)).sum(1)
    return torch.where(words >= 2**31, words - 2**32, words).int()


def pack_exl2(name, weight, generator):
    """Some groups of 32 inputs in 6, 5, 4, 3 and 2 bits, or all in 8; inputs in an order of their own."""
    outputs, inputs = weight.shape
    perm = torch.randperm(inputs, generator=generator)
    plan = [8] * (inputs // 32) if "v_proj" in name else ([6, 5, 4, 3, 2] * inputs)[: inputs // 32]
    if "k_proj" in name or "o_proj" in name:
        plan = [4, 3][: inputs // 32] + [2] * max(0, inputs // 32 - 2)
    words, groups, roots, largest, out = [], [], [], [], torch.zeros_like(weight)
    for g, bits in enumerate(sorted(plan, reverse=True)):
        rows = perm[32 * g : 32 * g + 32]
        part = weight[:, rows].t()  # [32, outputs]
        scale = part.abs().max(0)[0] / 2 ** (bits - 1)
        top = (scale.max() / 256 * 256).half()
        root = (torch.sqrt(scale / top.float()) * 16).round().clamp(1, 16).int()
        scale = ((root * root).half() * (top / 256)).half().float()
        half = 2 ** (bits - 1)
        codes = (torch.round(part / scale) + half).clamp(0, 2**bits - 1).int()
        groups += [bits, sum(len(w) for w in words)]
        words.append(bits_along(codes, bits))
        roots.append(root)
        largest.append(top)
        out[:, rows] = (scale * (codes - half)).t()
    q_scale = bits_along((torch.stack(roots) - 1).t(), 4).t().contiguous()
    return out, {f"{name}.q_weight": torch.cat(words), f"{name}.q_scale": q_scale,
                 f"{name}.q_groups": torch.tensor(groups, dtype=torch.int16),
                 f"{name}.q_scale_max": torch.stack(largest), f"{name}.q_invperm": torch.argsort(perm).int()}


def llama(seed, **more):
    torch.manual_seed(seed)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=96, max_position_embeddings=128, tie_word_embeddings=False, initializer_range=0.15, **more))


def gpt2(seed):
    torch.manual_seed(seed)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        n_embd=64, n_layer=2, n_head=4, vocab_size=96, n_positions=128, initializer_range=0.15))


def mixtral(seed):
    torch.manual_seed(seed)
    return transformers.MixtralForCausalLM(transformers.MixtralConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        num_local_experts=4, num_experts_per_tok=2, vocab_size=96, max_position_embeddings=128, initializer_range=0.15))


def is_linear(name):
    ends = ("proj.weight", "c_attn.weight", "c_fc.weight", ".w1.weight", ".w2.weight", ".w3.weight")
    return name.endswith(ends)


def act_order(inputs, group, seed):
    """g_idx of columns that were quantized in a random order."""
    perm = torch.randperm(inputs, generator=torch.Generator().manual_seed(seed))
    g_idx = torch.empty(inputs, dtype=torch.long)
    g_idx[perm] = torch.arange(inputs) // group
    return g_idx


def write(folder, model, quantization, pack, shown):
    """pack(name, weight [outputs, inputs]) -> numbers [outputs, inputs], tensors of the file"""
    folder.mkdir(parents=True, exist_ok=True)
    dense, scratch = folder / "dense", model.config.model_type == "gpt2"
    model.float().save_pretrained(dense)
    tensors, weight = load_file(dense / "model.safetensors"), None
    packed = {}
    for name, tensor in tensors.items():
        if not is_linear(name):
            packed[name] = tensor.half()
            tensors[name] = packed[name].float()
            continue
        numbers, parts = pack(name.removesuffix(".weight"), tensor.t() if scratch else tensor)
        tensors[name] = (numbers.t() if scratch else numbers).contiguous()
        packed |= parts
        if name == shown:
            weight = numbers
    save_file(tensors, dense / "model.safetensors", {"format": "pt"})
    model = type(model).from_pretrained(dense, dtype=torch.float32).eval()
    ids = torch.randint(0, 96, (2, 12), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    config = json.loads((dense / "config.json").read_text()) | {"torch_dtype": "float16"}
    config.pop("dtype", None)
    if quantization is not None:
        config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in packed.items()}, folder / "model.safetensors",
              {"format": "pt"})
    save_file({"input_ids": ids, "logits": logits, "weight": weight.contiguous()}, folder / "expected.safetensors")
    shutil.rmtree(dense)


def gptq_config(bits, group, sym=True, desc_act=False, **more):
    return {"bits": bits, "group_size": group, "sym": sym, "desc_act": desc_act, "damp_percent": 0.01,
            "true_sequential": True, "static_groups": False, "quant_method": "gptq"} | more


def gptq(bits, group, sym=True, order=None, v2=False):
    def pack(name, weight):
        g_idx = None if order is None else act_order(weight.shape[1], group, order(name))
        rounded = Rounded(weight, bits, group, sym, g_idx, least_zero=0 if v2 else 1)
        return rounded.weight, pack_gptq(name, rounded, v2)
    return pack


def awq(group, kind):
    def pack(name, weight):
        rounded = Rounded(weight, 4, group, False)
        parts = pack_awq(name, rounded, kind)
        return rounded.weight, parts
    return pack


def compressed(bits, group, sym, order=None):
    def pack(name, weight):
        g_idx = None if order is None else act_order(weight.shape[1], group, order(name))
        rounded = Rounded(weight, bits, group, sym, g_idx, torch.bfloat16)
        return rounded.weight, pack_ct(name, rounded, order is not None)
    return pack


def ct_config(bits, group, sym, **more):
    weights = {"num_bits": bits, "type": "int", "symmetric": sym, "strategy": "channel" if group == -1 else "group",
               "group_size": None if group == -1 else group} | more
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None,
                                          "output_activations": None}}, "ignore": ["lm_head"]}


def awq_config(group, version):
    return {"bits": 4, "group_size": group, "zero_point": True, "version": version, "quant_method": "awq",
            "modules_to_not_convert": None}


def same_inputs(name):
    """Modules that read the same rows have one order, as GPTQ finds it."""
    layer = int(next(part for part in name.split(".") if part.isdigit()))
    kinds = {"q_proj": 1, "k_proj": 1, "v_proj": 1, "gate_proj": 2, "up_proj": 2}
    return 10 * layer + kinds.get(name.split(".")[-1], 3 + name.count("down"))


def own(name):
    return sum(map(ord, name))


def main(out):
    down = "model.layers.1.mlp.down_proj.weight"
    write(out / "gptq4_order", llama(1), gptq_config(4, 32, desc_act=True), gptq(4, 32, order=same_inputs), down)
    write(out / "gptq4_orders", llama(2), gptq_config(4, 32, False, True), gptq(4, 32, False, own), down)
    write(out / "gptq4_v2", llama(3), gptq_config(4, 64, False, checkpoint_format="gptq_v2"),
          gptq(4, 64, False, v2=True), down)
    write(out / "gptq4_mislabelled", llama(4), gptq_config(4, 64, checkpoint_format="gptq"), gptq(4, 64, v2=True), down)
    write(out / "gptq3", llama(5), gptq_config(3, 64), gptq(3, 64), down)
    write(out / "gptq8_column", llama(6), gptq_config(8, -1, False), gptq(8, -1, False), down)
    write(out / "gptq4_gpt2", gpt2(7), gptq_config(4, 32, desc_act=True), gptq(4, 32, order=own),
          "transformer.h.1.mlp.c_proj.weight")
    write(out / "gptq4_mixtral", mixtral(8), gptq_config(4, 32, desc_act=True), gptq(4, 32, order=own),
          "model.layers.1.self_attn.o_proj.weight")
    write(out / "awq_gemm", llama(9), awq_config(32, "gemm"), awq(32, AWQ_GEMM), down)
    write(out / "awq_gemv", llama(10), awq_config(64, "gemv"), awq(64, AWQ_GEMV), down)
    write(out / "awq_gemv_fast", llama(11), awq_config(64, "gemv_fast"), awq(64, AWQ_FAST), down)
    write(out / "ct4", llama(12), ct_config(4, 32, False), compressed(4, 32, False), down)
    write(out / "ct4_order", llama(13), ct_config(4, 32, True, actorder="group"), compressed(4, 32, True, same_inputs),
          down)
    write(out / "ct8_channel", llama(14), ct_config(8, -1, True), compressed(8, -1, True), down)
    generator = torch.Generator().manual_seed(15)
    write(out / "exl2", llama(15), {"quant_method": "exl2", "version": "0.3.2", "bits": 4.0, "head_bits": 6},
          lambda name, weight: pack_exl2(name, weight, generator), down)


main(pathlib.Path(sys.argv[2]))
