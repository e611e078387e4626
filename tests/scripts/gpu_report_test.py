"""What scripts/gpu_report.py makes of the lines of a check on a GPU: figures computed by hand, and broken lines."""
import json
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "gpu_report.py"
LINES = """\
{"kind": "device", "name": "Pretended H100", "compute": "9.0", "multiprocessors": 132, "memory_bytes": 85899345920, "clock_khz": 1830000, "memory_clock_khz": 2619000, "memory_bus_bits": 5120}
{"kind": "check", "kernel": "rms_norm", "result": "right", "worst": "bf16", "failed": "", "cases": 4, "failures": 0, "error": 0.001, "allowed": 0.004}
{"kind": "check", "kernel": "rope", "result": "wrong", "worst": "f32", "failed": "f32: inf", "cases": 2, "failures": 1, "error": null, "allowed": 1e-05}
{"kind": "speed", "what": "attention forward", "shape": "B1", "peer": "cuDNN", "seconds": 0.001, "peer_seconds": 0.002, "ratio": 2, "flops": 494677278720}
{"kind": "end_to_end", "what": "decode", "shape": "bf16", "tokens_per_second": 100, "seconds": 0.01, "bytes": 3352320000}
{"kind": "left_out", "what": "compute-sanitizer", "why": "it is not installed"}
{"kind": "run", "seconds": 300}
{"kind": "speed", "what": "cut o
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        lines, out, page = (pathlib.Path(folder) / name for name in ("lines.jsonl", "report.json", "report.md"))
        lines.write_text(LINES)
        subprocess.run([sys.executable, SCRIPT, lines, out, page], check=True)
        report, text = json.loads(out.read_text()), page.read_text()
    # 132 multiprocessors * 1.83 GHz * 4096 = 989.4e12 operations a second; 2 * 2.619 GHz * 640 bytes = 3.352e12 bytes.
    assert abs(report["speed"][0]["fraction_of_peak_operations"] - 0.5) < 1e-3, report["speed"]
    assert abs(report["end_to_end"][0]["fraction_of_peak_bytes"] - 0.1) < 1e-3, report["end_to_end"]
    assert report["device"]["name"] == "Pretended H100" and report["seconds"] == 300
    assert len(report["broken"]) == 1 and "cut o" in report["broken"][0]["why"]
    for words in ("1 of 2 checks right", "not finite", "| 2.00 | 50 % |", "10 %", "it is not installed", "Pretended H100"):
        assert words in text, (words, text)


if __name__ == "__main__":
    main()
