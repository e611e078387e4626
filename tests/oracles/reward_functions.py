#!/usr/bin/env python3
"""Writes tests/fixtures/training/reward_functions.json: what TRL's own reward functions say of texts and of token ids.

    python tests/oracles/reward_functions.py

Ran with trl 1.16.0.
"""
import json
import pathlib

from trl.rewards import get_repetition_penalty_reward, get_soft_overlong_punishment, think_format_reward

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
TEXTS = [
    "<think>\nreasons\n</think>\nanswer", "<think>reasons</think>", "<think></think>", "<think>reasons", "", "answer",
    " <think>a</think>", "<think>a<think>b</think>", "<think>a</think><think>b</think>", "<think>a</think>b</think>",
    "</think><think>a", "<think>\n\n</think>\n\n", "<think>a</think>\n<think>", "<Think>a</Think>", "a\n<think>b</think>",
    "<think>a</think", "<think>é∀\u2028</think>\r\nb", "<think></think><think",
]
IDS = [[], [5], [5, 5], [5, 5, 5], [1, 2, 3], [1, 2, 3, 4, 1, 2, 3], [7] * 12, [1, 2] * 6, list(range(20)),
       [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5]]


def main():
    out = {
        "texts": TEXTS,
        "think_format_reward": think_format_reward([[{"content": text}] for text in TEXTS]),
        "ids": IDS,
        "soft_overlong_punishment": [
            {"max_completion_len": longest, "soft_punish_cache": cache,
             "rewards": get_soft_overlong_punishment(longest, cache)(IDS)}
            for longest, cache in ((12, 5), (20, 20), (32, 1), (12, 0), (3, 2))],
        "repetition_penalty": [
            {"ngram_size": size, "max_penalty": penalty, "rewards": get_repetition_penalty_reward(size, penalty)(IDS)}
            for size, penalty in ((3, -1.0), (1, -0.5), (2, -2.0), (2, 0.0))],
    }
    path = FIXTURES / "training" / "reward_functions.json"
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
